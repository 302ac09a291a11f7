"""uvicorn on a thread of its own: the sockets are bound before, so that a taken port is known at once.

uvicorn speaks HTTP; who comes in, and how, is for ``door`` and ``guard``.
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

_BACKLOG = 128
_KEEP_ALIVE = 75
"""Seconds; longer than the usual scrape interval, so that Prometheus keeps its connection."""
_GRACE = 1
"""Seconds that a running answer may take at the end."""


_WILDCARDS: Final = ("", "::")
_MISSING_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind one address; a name may have several, one socket each.

    An empty host, and ``::``, are every address of both families, as in Go. An empty host is IPv4 only where
    the machine has no IPv6. A link-local address needs its zone: ``fe80::1%eth0``.
    Raises OSError with one clear sentence.
    """
    try:
        if host in _WILDCARDS:
            return [_bind_wildcard(host, port)]
        return _bind_all(host, port)
    except OSError as error:
        # A name that cannot be resolved has a number of another kind.
        why = (
            os.strerror(error.errno)
            if error.errno is not None and error.errno in errno.errorcode
            else str(error.strerror)
        )
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(f"cannot listen on {where}: {why.lower()}") from error


def _bind_wildcard(host: str, port: int) -> socket.socket:
    if host or socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=socket.has_dualstack_ipv6()
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


def _bind_all(host: str, port: int) -> list[socket.socket]:
    """Bind all addresses of a name; without those of a family that the machine lacks, if others are left."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as undo:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            try:
                listening = socket.create_server(address, family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in _MISSING_FAMILY:
                    raise
                missing = error
            else:
                bound.append(undo.enter_context(listening))
        undo.pop_all()
    if missing is not None and not bound:
        raise missing
    return bound


class Server:
    """Serves an application on bound sockets."""

    def __init__(
        self,
        application: ASGIApp,
        sockets: Sequence[socket.socket],
        on_end: Callable[[], None],
        entrance: AccessControl | None = None,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``on_end``: called when it ends, wanted or not. ``entrance``: None: open to all."""
        self._threads = threads or ThreadRegistry()
        self._sockets = list(sockets)
        self._on_end = on_end
        self._entrance = entrance or AccessControl()
        self._guard = AccessMiddleware(application, self._entrance)
        self._config = uvicorn.Config(
            self._guard,
            http=ClientConnection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(self._config)
        self._over = threading.Event()
        self._thread = SupervisedThread(self._threads, WEB_SERVER, "web", self._run, self._over)

    def start(self) -> None:
        """Begin to serve."""
        self._entrance.start()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End; waits for running answers, ``timeout`` seconds at most."""
        self._entrance.stop()
        self._over.set()
        self._server.should_exit = True
        self._thread.join(timeout)

    def _run(self) -> None:
        """Serve until asked to stop. An exception is reported, and the server starts again."""
        try:
            asyncio.run(self._serve())
        except SystemExit:
            self._on_end()
            raise
        for listening in self._sockets:
            listening.close()
        self._guard.close()
        self._on_end()

    async def _serve(self) -> None:
        if not self._config.loaded:
            self._config.load()
        doors = Acceptor(
            self._config,
            self._server.server_state,
            self._entrance,
            is_over=lambda: self._server.should_exit,
            threads=self._threads,
        )
        doors.open(self._sockets)
        try:
            # It listens nowhere itself: the doors do.
            await self._server.serve(sockets=[])
        finally:
            doors.close()
