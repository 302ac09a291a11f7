"""Accept client connections: TLS handshake, connection limit, timeouts, limit of unsent bytes.

Invariant: an idle or slow client occupies one of ``max_connections`` slots for a bounded time and has no
other effect. When all slots are taken, a new connection replaces the one that is least advanced (``Stage``)
and, among those, has made no progress for the longest time. A client that sends its request at once is always
served.
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
from libvirt_lifecycle_exporter.web.access import AccessControl, ActiveConfig
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection, Stage
from libvirt_lifecycle_exporter.web.client_hello import wait_for_first_record
from libvirt_lifecycle_exporter.web.tls import is_allowed
from libvirt_lifecycle_exporter.web.tls_alerts import HANDSHAKE_SOCKET
from libvirt_lifecycle_exporter.web.tls_protocol import accept_tls

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 128
"""Upper bound of the connection limit; see ``connection_limit``."""
_DESCRIPTORS_PER_CONNECTION: Final = 4
"""One of this many file descriptors is for client connections: journal, libvirt and OTLP need the others."""
STAGE_TIMEOUTS: Mapping[Stage, float] = MappingProxyType({Stage.NEW: 10, Stage.IDLE: 90, Stage.ACTIVE: 60})
"""Seconds without progress after which a connection is closed."""
_TLS_SHUTDOWN_TIMEOUT: Final = 2.0
"""Seconds that a client has to answer TLS' close_notify."""
MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024
"""Bytes of responses that all clients together may leave unread."""
_CHECK_INTERVAL: Final = 1.0
"""Seconds between two searches for expired connections, and before accept() is retried after an error."""


class _Slot:
    """One accepted connection: first a socket, then (after the TLS handshake) a protocol."""

    def __init__(self, connection: socket.socket, accepted_at: float) -> None:
        """``accepted_at``: monotonic, seconds."""
        self.connection = connection
        self.protocol: ClientConnection | None = None
        self.setup_task: asyncio.Task[None] | None = None
        self.is_setup_started = False
        self._accepted_at = accepted_at

    @property
    def stage(self) -> Stage:
        return self.protocol.stage if self.protocol else Stage.NEW

    @property
    def progress_at(self) -> float:
        """When the client last made progress; monotonic, seconds."""
        return self.protocol.progress_at if self.protocol else self._accepted_at

    @property
    def unsent_bytes(self) -> int:
        """Bytes of a response that the client has not read yet."""
        transport = self.protocol.transport if self.protocol else None
        return transport.get_write_buffer_size() if transport else 0

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""
        if self.protocol is not None and self.protocol.transport is not None:
            self.protocol.transport.abort()
        elif self.setup_task is not None and self.is_setup_started:
            self.setup_task.cancel()
        else:
            # A task that is cancelled before its first step would not close the socket.
            self.connection.close()


def connection_limit() -> int:
    """Return how many client connections this process may keep open, by its limit of file descriptors."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, descriptors // _DESCRIPTORS_PER_CONNECTION))


class Acceptor:
    """Accept on listening sockets and pass each connection to uvicorn's protocol. Used on one event loop."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        access: AccessControl,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
        max_connections: int | None = None,
        max_unsent_bytes: int = MAX_UNSENT_BYTES,
        stage_timeouts: Mapping[Stage, float] = STAGE_TIMEOUTS,
        clock: Callable[[], float] = time.monotonic,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``max_connections``: None: ``connection_limit()``. ``clock``: monotonic, seconds.

        ``is_stopping``: whether new connections are closed at once.
        """
        self._threads = threads or ThreadRegistry()
        self._is_stopping = is_stopping
        self._config = config
        self._state = state
        self._access = access
        self._max_connections = max_connections or connection_limit()
        self._max_unsent_bytes = max_unsent_bytes
        self._stage_timeouts = stage_timeouts
        self._clock = clock
        self._slots: set[_Slot] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, sockets: list[socket.socket]) -> None:
        """Start accepting on these listening sockets. Requires a running event loop."""
        for listening in sockets:
            listening.setblocking(False)  # noqa: FBT003 - the name says what
            self._tasks.append(asyncio.create_task(self._accept(listening)))
        self._tasks.append(asyncio.create_task(self._close_expired_forever()))

    def close(self) -> None:
        """Stop accepting. Open connections are closed by uvicorn's shutdown."""
        for task in self._tasks:
            task.cancel()

    def close_expired(self) -> None:
        """Close the connections that exceed the timeout of their stage; also done every second."""
        now = self._clock()
        expired = [slot for slot in self._slots if now - slot.progress_at > self._stage_timeouts[slot.stage]]
        for slot in expired:
            self._evict(slot, "slow")

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._slots)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionError:
                # The client closed the connection before it was accepted.
                continue
            except OSError as error:
                # Such as EMFILE, whichever part of the process uses the descriptors.
                log.warning("accept failed", extra={"error": str(error)})
                self._evict_down_to(len(self._slots) // 2)
                await asyncio.sleep(_CHECK_INTERVAL)
                continue
            except Exception as error:  # noqa: BLE001 - reported; the exporter keeps accepting
                self._threads.report(WEB_SERVER, error)
                await asyncio.sleep(_CHECK_INTERVAL)
                continue
            if self._is_stopping():
                connection.close()
                continue
            with self._threads.guard(WEB_SERVER):
                self._evict_down_to(self._max_connections - 1)
                slot = _Slot(connection, self._clock())
                self._slots.add(slot)
                slot.setup_task = asyncio.create_task(self._set_up(slot))

    async def _set_up(self, slot: _Slot) -> None:
        """Do the TLS handshake, if any, and connect the protocol, which serves the requests."""
        active, slot.is_setup_started = self._access.active, True
        try:
            if slot.connection.family != socket.AF_UNIX:  # which systemd may pass
                slot.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if active.tls_context:
                await self._set_up_tls(slot, active, active.tls_context)
            else:
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self._create_protocol(slot, active), slot.connection
                )
        except (OSError, asyncio.CancelledError) as error:
            # ssl's errors are OSErrors. A slot that was evicted is counted already.
            was_open = slot in self._slots
            self._release(slot)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._access.refused["tls"] += bool(active.tls_context) and was_open
            log.debug("connection setup failed", extra={"error": str(error)})
        finally:
            # Task and slot refer to each other: without this, only the garbage collector would free them.
            slot.setup_task = None

    async def _set_up_tls(self, slot: _Slot, active: ActiveConfig, context: ssl.SSLContext) -> None:
        try:
            await wait_for_first_record(slot.connection)
        except BaseException:
            slot.connection.close()
            raise
        HANDSHAKE_SOCKET.set(slot.connection)
        await accept_tls(
            slot.connection,
            self._create_protocol(slot, active),
            context,
            handshake_timeout=self._stage_timeouts[Stage.NEW],
            shutdown_timeout=_TLS_SHUTDOWN_TIMEOUT,
        )

    def _create_protocol(self, slot: _Slot, active: ActiveConfig) -> ClientConnection:
        tls = active.config.tls

        def authorize(protocol: ClientConnection, certificate: Mapping[str, Any] | None) -> bool:
            slot.protocol = protocol
            allowed = tls is None or is_allowed(tls, certificate)
            self._access.refused["client_certificate"] += not allowed
            return allowed

        return ClientConnection(
            self._config,
            self._state,
            authorize=authorize,
            on_lost=lambda: self._release(slot),
            on_write_paused=self._on_write_paused,
            clock=self._clock,
        )

    def _release(self, slot: _Slot) -> None:
        self._slots.discard(slot)
        slot.protocol = None

    def _on_write_paused(self) -> None:
        """Schedule ``limit_unsent``: the transport that is being written to must not be aborted meanwhile."""
        asyncio.get_running_loop().call_soon(self.limit_unsent)

    def limit_unsent(self) -> None:
        """Close connections, oldest request first, down to the limit of unsent bytes; never the last one."""
        unread = sorted(
            (slot for slot in self._slots if slot.unsent_bytes), key=lambda slot: slot.progress_at
        )
        unsent = sum(slot.unsent_bytes for slot in unread)
        for slot in unread[:-1]:
            if unsent <= self._max_unsent_bytes:
                return
            unsent -= slot.unsent_bytes
            self._evict(slot, "slow")

    def _evict(self, slot: _Slot, cause: str) -> None:
        self._slots.discard(slot)
        self._access.refused[cause] += 1
        slot.abort()

    def _evict_down_to(self, limit: int) -> None:
        while len(self._slots) > limit:
            slot = min(self._slots, key=lambda slot: (slot.stage, slot.progress_at))
            self._evict(slot, "crowded")

    async def _close_expired_forever(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_INTERVAL)
            with self._threads.guard(WEB_SERVER):
                self.close_expired()
