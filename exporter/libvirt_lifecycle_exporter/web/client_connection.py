"""uvicorn's HTTP/1.1 protocol with the state that the acceptor needs: stage and time of the last progress."""

import asyncio
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_WRITE_BUFFER_LIMIT: Final = 64 * 1024
"""Bytes of a response in the transport's buffer above which the response's task is paused."""


class Stage(IntEnum):
    """How far a connection has got. When all slots are taken, lower stages are closed first."""

    NEW = 0
    """No request yet: in the TLS handshake, idle since, or in the middle of its first request."""
    IDLE = 1
    """At least one request was answered, and no complete request is pending."""
    ACTIVE = 2
    """A request is being answered, or the client has not read the whole response."""


class ClientConnection(H11Protocol):
    """One connection, from the end of the TLS handshake on."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        *,
        authorize: Callable[["ClientConnection", Any], bool],
        on_lost: Callable[[], None],
        on_write_paused: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """``authorize``: is called with the client's certificate or None, and allows the connection.

        ``on_write_paused``: is called when the client reads a response more slowly than it is written.
        ``clock``: monotonic, seconds.
        """
        super().__init__(config=config, server_state=state, app_state={})
        self._authorize = authorize
        self._on_lost = on_lost
        self._on_write_paused = on_write_paused
        self._clock = clock
        self._has_sent_request = False
        self._is_authorized = False
        self.progress_at = clock()
        """When the client last connected, completed a request or was answered; monotonic, seconds."""

    @property
    def stage(self) -> Stage:
        """How far the connection has got."""
        if not self._has_sent_request:
            return Stage.NEW
        is_answered = self.cycle is None or self.cycle.response_complete
        return Stage.IDLE if is_answered and not self.transport.get_write_buffer_size() else Stage.ACTIVE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self.progress_at = self._clock()
        transport.set_write_buffer_limits(_WRITE_BUFFER_LIMIT)
        self._is_authorized = self._authorize(self, transport.get_extra_info("peercert"))
        if not self._is_authorized:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()
        super().connection_lost(exc)
        # After a reset, uvicorn keeps the timer for 75 s, and the cycle until garbage is collected.
        self._unset_keepalive_if_required()
        self.cycle = None  # type: ignore[assignment] # as before the first request

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        # The traceback of h11's error refers to the error and to this connection: a reference cycle.
        error = sys.exception()
        if error is not None:
            error.__traceback__ = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._on_write_paused()

    def data_received(self, data: bytes) -> None:
        if not self._is_authorized:
            return
        cycle_before = self.cycle
        super().data_received(data)
        if self.cycle is not cycle_before:
            self._has_sent_request, self.progress_at = True, self._clock()

    def on_response_complete(self) -> None:
        self.progress_at = self._clock()
        super().on_response_complete()
