"""The HTTP server: uvicorn on a thread, with the project's own ``Acceptor`` instead of uvicorn's listener.

The sockets are bound before the thread starts, so that a port that is in use is reported at once.
"""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from libvirt_lifecycle_exporter.runtime.threads import WEB_SERVER, SupervisedThread, ThreadRegistry
from libvirt_lifecycle_exporter.web.acceptor import Acceptor
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection
from libvirt_lifecycle_exporter.web.middleware import AccessMiddleware

_BACKLOG: Final = 128
_KEEP_ALIVE_TIMEOUT: Final = 75
"""Seconds; longer than the usual scrape interval, so that Prometheus reuses its connection."""
_SHUTDOWN_TIMEOUT: Final = 1
"""Seconds that a running response may take when the server stops."""


_WILDCARD_HOSTS: Final = ("", "::")
_FAMILY_UNAVAILABLE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def bind(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for a host: one for an address, one for each address of a name.

    An empty host and ``::`` mean all addresses of both families, as in Go; an empty host means IPv4 only if
    the machine has no IPv6. A link-local address needs its zone: ``fe80::1%eth0``. ``port``: 0: any free
    port. Raises OSError with one sentence.
    """
    try:
        if host in _WILDCARD_HOSTS:
            return [_bind_wildcard(host, port)]
        return _bind_addresses(host, port)
    except OSError as error:
        # The number of socket.gaierror is not an errno.
        reason = (
            os.strerror(error.errno)
            if error.errno is not None and error.errno in errno.errorcode
            else str(error.strerror)
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(f"cannot listen on {address}: {reason.lower()}") from error


def _bind_wildcard(host: str, port: int) -> socket.socket:
    if host or socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=socket.has_dualstack_ipv6()
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


def _bind_addresses(host: str, port: int) -> list[socket.socket]:
    """Bind all addresses of a host. Skip those of a family that the machine lacks, unless none is left."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    unavailable: OSError | None = None
    with ExitStack() as close_on_error:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in infos):
            try:
                listening = socket.create_server(address, family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in _FAMILY_UNAVAILABLE:
                    raise
                unavailable = error
            else:
                bound.append(close_on_error.enter_context(listening))
        close_on_error.pop_all()
    if unavailable is not None and not bound:
        raise unavailable
    return bound


class Server:
    """Serve an ASGI application on listening sockets, on a thread."""

    def __init__(
        self,
        application: ASGIApp,
        sockets: Sequence[socket.socket],
        on_end: Callable[[], None],
        access: AccessControl | None = None,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``on_end``: is called when the server ends, whether it was asked to or not.

        ``access``: None: open to all.
        """
        self._threads = threads or ThreadRegistry()
        self._sockets = list(sockets)
        self._on_end = on_end
        self._access = access or AccessControl()
        self._middleware = AccessMiddleware(application, self._access)
        self._config = uvicorn.Config(
            self._middleware,
            http=ClientConnection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_TIMEOUT,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
        )
        self._server = uvicorn.Server(self._config)
        self._stopping = threading.Event()
        self._thread = SupervisedThread(self._threads, WEB_SERVER, "web", self._run, self._stopping)

    def start(self) -> None:
        """Start serving, and checking the web configuration for changes."""
        self._access.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop serving; wait up to ``timeout`` seconds for running responses."""
        self._access.stop()
        self._stopping.set()
        self._server.should_exit = True
        self._thread.join(timeout)

    def _run(self) -> None:
        """Serve until asked to stop. If this raises, ``SupervisedThread`` logs it and calls it again."""
        try:
            asyncio.run(self._serve())
        except SystemExit:
            self._on_end()
            raise
        for listening in self._sockets:
            listening.close()
        self._middleware.close()
        self._on_end()

    async def _serve(self) -> None:
        if not self._config.loaded:
            self._config.load()
        acceptor = Acceptor(
            self._config,
            self._server.server_state,
            self._access,
            is_stopping=lambda: self._server.should_exit,
            threads=self._threads,
        )
        acceptor.open(self._sockets)
        try:
            # No sockets: uvicorn runs the event loop and the shutdown, the acceptor accepts.
            await self._server.serve(sockets=[])
        finally:
            acceptor.close()
