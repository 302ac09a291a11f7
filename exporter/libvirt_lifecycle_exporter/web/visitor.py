"""A connection, as uvicorn's HTTP/1.1 protocol serves it, and how long it has kept us waiting."""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class Stage(IntEnum):
    """How far it is; who is less far leaves first where there is no room."""

    FRESH = 0
    """Nothing was ever asked: in the TLS handshake, or silent since."""
    IDLE = 1
    """Was served, and asks nothing now, or half a thing."""
    BUSY = 2
    """Is being answered, or does not take what it asked for."""


class Visitor(H11Protocol):
    """One connection, from the end of the TLS handshake on."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        may_enter: Callable[[Any], bool],
        on_gone: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """``may_enter``: by its certificate, None where it has none. ``clock``: seconds."""
        super().__init__(config=config, server_state=state, app_state={})
        self._may_enter = may_enter
        self._on_gone = on_gone
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
        self._barred = not self._may_enter(transport.get_extra_info("peercert"))
        if self._barred:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_gone()
        super().connection_lost(exc)

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
