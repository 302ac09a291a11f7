"""A connection, as uvicorn's HTTP/1.1 protocol serves it, and how long it has kept us waiting."""

import asyncio
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_MOST_WAITING: Final = 64 * 1024
"""Bytes of a response in a connection's write buffer, above which the rest of it has to wait."""


class Stage(IntEnum):
    """How far it is; who is less far leaves first where there is no room."""

    FRESH = 0
    """Nothing was ever asked: in the TLS handshake, or silent since."""
    IDLE = 1
    """Was served, and asks nothing now, or half a thing."""
    BUSY = 2
    """Is being answered, or does not take what it asked for."""


class ClientConnection(H11Protocol):
    """One connection, from the end of the TLS handshake on."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        may_enter: Callable[["ClientConnection", Any], bool],
        on_gone: Callable[[], None],
        on_full: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """``may_enter``: by its certificate, None where it has none. ``clock``: seconds.

        ``on_full``: called when the client takes a response more slowly than it is written.
        """
        super().__init__(config=config, server_state=state, app_state={})
        self._may_enter = may_enter
        self._on_gone = on_gone
        self._on_full = on_full
        self._clock = clock
        self._asked = False
        self._barred = True
        """Until it is known to be allowed."""
        self.since = clock()
        """When its last step was done: came, asked, was answered."""

    @property
    def stage(self) -> Stage:
        """How far it is."""
        if not self._asked:
            return Stage.FRESH
        is_answered = self.cycle is None or self.cycle.response_complete
        return Stage.IDLE if is_answered and not self.transport.get_write_buffer_size() else Stage.BUSY

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self.since = self._clock()
        transport.set_write_buffer_limits(_MOST_WAITING)
        self._barred = not self._may_enter(self, transport.get_extra_info("peercert"))
        if self._barred:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_gone()
        super().connection_lost(exc)
        # uvicorn keeps both after a reset: the timer for 75 s, the cycle until garbage is collected.
        self._unset_keepalive_if_required()
        self.cycle = None  # type: ignore[assignment] # as before the first request

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        # h11's error refers to itself by its traceback, and so to this connection.
        error = sys.exception()
        if error is not None:
            error.__traceback__ = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._on_full()

    def data_received(self, data: bytes) -> None:
        if self._barred:
            return
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._asked, self.since = True, self._clock()

    def on_response_complete(self) -> None:
        self.since = self._clock()
        super().on_response_complete()
