"""Open connections to libvirt: never prompt, never wait for ever, leave no process behind.

A call that opens a connection cannot be cancelled, and libvirt sets no time limit. ``Opener`` makes each
attempt on a thread of its own. An attempt without an answer is abandoned: its child processes (ssh) get
SIGTERM, and a connection that it opens later is closed at once. While ``OpenLimits.max_abandoned`` abandoned
attempts exist, further attempts fail at once.

All methods may be called from any thread.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import libvirt

from libvirt_lifecycle_exporter.hypervisor.children import child_pids, terminate
from libvirt_lifecycle_exporter.hypervisor.closing_peer import closes_at_once
from libvirt_lifecycle_exporter.hypervisor.error_causes import CLOSED_BY_PEER, cause_of
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP

log = logging.getLogger(__name__)

_CREDENTIALS = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
_FORK_LOCK = threading.Lock()
"""Held while an attempt starts its child process, so that a new child belongs to exactly one attempt."""
_FORK_LIMIT = 2.0
"""Seconds to wait for the child process to appear."""
_PORTS = {"tls": 16514, "tcp": 16509, "": 16514}
"""Ports by transport, if the URI has none; a URI with a host and no transport uses TLS."""


class OpenLimits(NamedTuple):
    """Limits of attempts to connect; times in seconds."""

    warn_after: float = 15.0
    timeout: float = 60.0
    max_abandoned: int = 3


def open_read_only(uri: str) -> Any:
    """Open a read-only connection; raises ``libvirtError``."""
    return _open(uri, libvirt.VIR_CONNECT_RO)


def open_read_write(uri: str) -> Any:
    """Open a read-write connection; raises ``libvirtError``."""
    return _open(uri, 0)


def _open(uri: str, flags: int) -> Any:
    LOOP.start()
    # libvirt offers only the SASL mechanisms whose credential types are listed. It reads the values from the
    # URI's authfile or from auth.conf; the callback is called for those that are missing.
    return libvirt.openAuth(without_prompt(uri), [_CREDENTIALS, _no_credentials, None], flags)


def _no_credentials(_credentials: object, _opaque: object) -> int:
    """Refuse to ask anybody: no terminal belongs to the exporter."""
    return -1


def without_prompt(uri: str) -> str:
    """Add ``no_tty=1`` to a URI of the ssh transport, unless the URI sets it: ssh then runs in batch mode."""
    parts = urlsplit(uri)
    if _transport(uri) != "ssh" or "no_tty" in dict(parse_qsl(parts.query, keep_blank_values=True)):
        return uri
    return urlunsplit(parts._replace(query=f"{parts.query}&no_tty=1" if parts.query else "no_tty=1"))


def _transport(uri: str) -> str:
    return urlsplit(uri).scheme.partition("+")[2]


class _Attempt:
    """One attempt to connect. Fields are protected by the opener's condition."""

    def __init__(self, open_uri: Callable[[str], Any]) -> None:
        self.open_uri = open_uri
        self.is_done = False
        self.is_abandoned = False
        self.connection: Any = None
        self.error: BaseException | None = None
        self.children: frozenset[int] = frozenset()


class Opener:
    """Opens the connections of one URI."""

    def __init__(self, uri: str, limits: OpenLimits | None = None) -> None:
        self._uri = uri
        self._limits = limits or OpenLimits()
        self._changed = threading.Condition()
        self._abandoned: set[_Attempt] = set()
        self._running: set[_Attempt] = set()
        self._children: frozenset[int] = frozenset()
        self._stopping = False
        self._was_closed = False

    def open(
        self,
        open_uri: Callable[[str], Any] = open_read_only,
        on_slow: Callable[[float], None] = lambda _seconds: None,
    ) -> Any:
        """Return an open connection.

        ``on_slow``: called with the seconds waited if the attempt takes longer than ``warn_after``.
        Raises ``libvirtError`` if libvirt refuses, ``TimeoutError`` if the attempt is abandoned,
        ``ConnectionError`` if the peer closes connections at once.
        """
        if self._was_closed and closes_at_once(self._uri):
            raise ConnectionError("the peer closes the connection at once")
        attempt = _Attempt(open_uri)
        with self._changed:
            self._check_may_open()
            self._running.add(attempt)
        try:
            self._start(attempt)
            if not self._wait(attempt, self._limits.warn_after):
                on_slow(self._limits.warn_after)
                self._wait(attempt, self._limits.timeout - self._limits.warn_after)
        finally:
            self._settle(attempt)
        connection, attempt.connection = attempt.connection, None
        if attempt.is_abandoned:
            raise TimeoutError(
                "stopped while connecting"
                if self._stopping
                else f"no answer to the attempt to connect within {self._limits.timeout:g} s"
            )
        if attempt.error is not None:
            error, attempt.error = attempt.error, None
            self._was_closed = isinstance(error, libvirt.libvirtError) and cause_of(error) == CLOSED_BY_PEER
            raise error
        self._was_closed = False
        return connection

    def open_read_only(self) -> Any:
        """Return an open read-only connection; raises as ``open``."""
        return self.open(open_read_only)

    def open_read_write(self) -> Any:
        """Return an open read-write connection; raises as ``open``."""
        return self.open(open_read_write)

    def abandoned(self) -> int:
        """Return the number of abandoned attempts that libvirt has not returned from."""
        with self._changed:
            return len(self._abandoned)

    def stop(self) -> None:
        """Abandon the attempts that run, and allow no more; returns at once."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            children = frozenset[int]().union(*(attempt.children for attempt in self._running))
        if children:
            terminate(children)

    def terminate_children(self) -> None:
        """End the child processes of connections that are open; for connections that do not close in time."""
        with self._changed:
            children = self._children
        if children:
            terminate(children)

    def _check_may_open(self) -> None:
        if self._stopping:
            raise TimeoutError("stopped while connecting")
        if len(self._abandoned) >= self._limits.max_abandoned:
            raise TimeoutError(
                f"{len(self._abandoned)} attempts to connect are still unanswered; waiting for one to end"
            )

    def _start(self, attempt: _Attempt) -> None:
        thread = threading.Thread(target=self._run, args=(attempt,), name="libvirt-open", daemon=True)
        if _transport(self._uri) not in ("ssh", "ext"):
            thread.start()
            return
        with _FORK_LOCK:
            before = child_pids()
            thread.start()
            deadline = time.monotonic() + _FORK_LIMIT
            pause = 0.005
            while not attempt.children and time.monotonic() < deadline and not self._wait(attempt, pause):
                attempt.children = child_pids() - before
                pause *= 1.5

    def _run(self, attempt: _Attempt) -> None:
        connection, error = None, None
        try:
            connection = attempt.open_uri(self._uri)
        except BaseException as raised:  # noqa: BLE001 - raised again on the thread that waits
            error = raised
        with self._changed:
            attempt.is_done = True
            attempt.connection, attempt.error = connection, error
            self._abandoned.discard(attempt)
            is_late = attempt.is_abandoned
            self._changed.notify_all()
        if is_late and connection is not None:
            attempt.connection = None
            try:
                connection.close()
            except libvirt.libvirtError as refused:
                log.debug("an abandoned attempt opened a connection that cannot be closed: %s", refused)

    def _wait(self, attempt: _Attempt, seconds: float) -> bool:
        """Wait for the attempt; return whether there is nothing left to wait for."""
        with self._changed:
            return self._changed.wait_for(lambda: attempt.is_done or self._stopping, max(0.0, seconds))

    def _settle(self, attempt: _Attempt) -> None:
        """Take the result of an attempt, or abandon it."""
        with self._changed:
            self._running.discard(attempt)
            if attempt.is_done:
                if attempt.connection is not None and attempt.children:
                    self._children = (self._children & child_pids()) | attempt.children
                return
            attempt.is_abandoned = True
            self._abandoned.add(attempt)
        if attempt.children:
            terminate(attempt.children)
        _enable_tcp_keepalive(self._uri)


def _enable_tcp_keepalive(uri: str) -> None:
    """Let the kernel notice that the peer of an abandoned attempt is gone.

    libvirt's own keepalive begins once a connection is open. Without any, an attempt to a host that lost its
    power would never return.
    """
    parts = urlsplit(uri)
    port = parts.port or _PORTS.get(_transport(uri))
    if not parts.hostname or port is None:
        return
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError, ValueError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with _duplicate_socket(int(entry.name)) as connected:
                is_tcp = connected.family in (socket.AF_INET, socket.AF_INET6)
                if is_tcp and connected.getpeername()[1] == port:
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _duplicate_socket(descriptor: int) -> socket.socket:
    """Return a socket of its own for a descriptor of this process.

    Raises OSError if the descriptor is closed or no socket; no copy is left open then.
    """
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
