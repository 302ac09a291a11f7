"""Lets connections in: TLS by the rules of the moment, so many at most, and nobody keeps others waiting.

Law: whoever says nothing, or says it slowly, costs a place and no more. A place is for as long as the table
says. Where all are taken, the one leaves that was served least and has kept us waiting longest: whoever
asks at once is always answered.
"""

import asyncio
import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from uvicorn import Config
from uvicorn.server import ServerState

from libvirt_lifecycle_exporter.runtime.threads import WEB_SERVER, ThreadRegistry
from libvirt_lifecycle_exporter.web.access import AccessControl, Rules
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection, Stage
from libvirt_lifecycle_exporter.web.client_hello import wait_for_first_record
from libvirt_lifecycle_exporter.web.tls import is_allowed
from libvirt_lifecycle_exporter.web.tls_alerts import CLIENT
from libvirt_lifecycle_exporter.web.tls_protocol import accept_tls

log = logging.getLogger(__name__)

MOST: Final = 128
"""Connections, where there are files for so many: journal, libvirt and OTLP need some, too."""
_SHARE = 4
"""Of the files that the process may open, one in so many is for connections."""
PATIENCE: Mapping[Stage, float] = MappingProxyType({Stage.FRESH: 10, Stage.IDLE: 90, Stage.BUSY: 60})
"""Seconds in one stage."""
_FAREWELL = 2.0
"""Seconds that a client gets to end TLS in good order."""
MOST_UNSENT: Final = 16 * 1024 * 1024
"""Bytes of responses that all clients together may leave unread."""
_ROUND = 1.0
"""Seconds between two looks for those who take too long."""


class _Place:
    """One connection: first its handshake, then its visitor."""

    def __init__(self, connection: socket.socket, since: float) -> None:
        self.connection = connection
        self.visitor: ClientConnection | None = None
        self.entering: asyncio.Task[None] | None = None
        self.has_begun = False
        self._since = since

    @property
    def stage(self) -> Stage:
        return self.visitor.stage if self.visitor else Stage.FRESH

    @property
    def since(self) -> float:
        return self.visitor.since if self.visitor else self._since

    @property
    def unsent(self) -> int:
        """Bytes of a response that the client has not taken yet."""
        transport = self.visitor.transport if self.visitor else None
        return transport.get_write_buffer_size() if transport else 0

    def clear(self) -> None:
        """End the connection, now."""
        if self.visitor is not None and self.visitor.transport is not None:
            self.visitor.transport.abort()
        elif self.entering is not None and self.has_begun:
            self.entering.cancel()
        else:
            self.connection.close()


def places() -> int:
    """Return how many connections there may be at a time."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(1, min(MOST, files // _SHARE))


class Acceptor:
    """Accepts on listening sockets and hands what comes in to uvicorn's protocol; belongs to one loop."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        entrance: AccessControl,
        *,
        is_over: Callable[[], bool] = lambda: False,
        most: int | None = None,
        most_unsent: int = MOST_UNSENT,
        patience: Mapping[Stage, float] = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``is_over``: whether whoever comes now comes too late. ``most``: None: as the process may."""
        self._threads = threads or ThreadRegistry()
        self._is_over = is_over
        self._config = config
        self._state = state
        self._entrance = entrance
        self._most = most or places()
        self._most_unsent = most_unsent
        self._patience = patience
        self._clock = clock
        self._places: set[_Place] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, sockets: list[socket.socket]) -> None:
        """Begin to accept."""
        for listening in sockets:
            listening.setblocking(False)  # noqa: FBT003 - the name says what
            self._tasks.append(asyncio.create_task(self._accept(listening)))
        self._tasks.append(asyncio.create_task(self._rounds()))

    def close(self) -> None:
        """Accept no more; who is in, is for uvicorn to end."""
        for task in self._tasks:
            task.cancel()

    def tidy(self) -> None:
        """Show out who takes too long; done by itself all the time."""
        now = self._clock()
        for place in [place for place in self._places if now - place.since > self._patience[place.stage]]:
            self._show_out(place, "slow")

    def __len__(self) -> int:
        """How many places are taken."""
        return len(self._places)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionError:
                # Whoever it was has left already.
                continue
            except OSError as error:
                # No more files, say, whoever uses them up.
                log.warning("a connection could not be taken: %s", error)
                self._make_room(len(self._places) // 2)
                await asyncio.sleep(_ROUND)
                continue
            except Exception as error:  # noqa: BLE001 - reported; the exporter keeps accepting
                self._threads.report(WEB_SERVER, error)
                await asyncio.sleep(_ROUND)
                continue
            if self._is_over():
                connection.close()
                continue
            with self._threads.guard(WEB_SERVER):
                self._make_room(self._most - 1)
                place = _Place(connection, self._clock())
                self._places.add(place)
                place.entering = asyncio.create_task(self._enter(place))

    async def _enter(self, place: _Place) -> None:
        """Serve one connection: its handshake here, the rest is its visitor's."""
        rules, place.has_begun = self._entrance.rules, True
        try:
            if place.connection.family != socket.AF_UNIX:  # which systemd may pass
                place.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if rules.context:
                await self._enter_by_tls(place, rules, rules.context)
            else:
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self._visitor(place, rules), place.connection
                )
        except (OSError, asyncio.CancelledError) as error:
            # ssl's errors are OSErrors. Whoever was shown out is counted already.
            was_here = place in self._places
            self._leave(place)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._entrance.refused["tls"] += bool(rules.context) and was_here
            log.debug("no connection with a client: %s", error)
        finally:
            # Task and place refer to each other, and garbage may be collected much later.
            place.entering = None

    async def _enter_by_tls(self, place: _Place, rules: Rules, context: ssl.SSLContext) -> None:
        try:
            await wait_for_first_record(place.connection)
        except BaseException:
            place.connection.close()
            raise
        CLIENT.set(place.connection)
        await accept_tls(
            place.connection,
            self._visitor(place, rules),
            context,
            handshake_timeout=self._patience[Stage.FRESH],
            shutdown_timeout=_FAREWELL,
        )

    def _visitor(self, place: _Place, rules: Rules) -> ClientConnection:
        """Make the protocol of a connection."""
        tls = rules.config.tls

        def may_enter(visitor: ClientConnection, certificate: Mapping[str, Any] | None) -> bool:
            place.visitor = visitor
            allowed = tls is None or is_allowed(tls, certificate)
            self._entrance.refused["client_certificate"] += not allowed
            return allowed

        return ClientConnection(
            self._config,
            self._state,
            may_enter=may_enter,
            on_gone=lambda: self._leave(place),
            on_full=self._on_full,
            clock=self._clock,
        )

    def _leave(self, place: _Place) -> None:
        self._places.discard(place)
        place.visitor = None

    def _on_full(self) -> None:
        """A client leaves its response unread; act outside of the write that found it."""
        asyncio.get_running_loop().call_soon(self.bound_unsent)

    def bound_unsent(self) -> None:
        """Close the connections that were asked longest ago until the limit is kept; never the last."""
        busy = sorted((place for place in self._places if place.unsent), key=lambda place: place.since)
        unsent = sum(place.unsent for place in busy)
        for place in busy[:-1]:
            if unsent <= self._most_unsent:
                return
            unsent -= place.unsent
            self._show_out(place, "slow")

    def _show_out(self, place: _Place, cause: str) -> None:
        self._places.discard(place)
        self._entrance.refused[cause] += 1
        place.clear()

    def _make_room(self, most: int) -> None:
        while len(self._places) > most:
            place = min(self._places, key=lambda place: (place.stage, place.since))
            self._show_out(place, "crowded")

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(_ROUND)
            with self._threads.guard(WEB_SERVER):
                self.tidy()
