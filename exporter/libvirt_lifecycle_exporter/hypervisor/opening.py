"""Open connections to libvirt, without prompts, with a time limit, and without orphaned child processes.

A call that opens a connection cannot be cancelled, and libvirt sets no time limit. ``Opener`` makes each
attempt on a new thread. An attempt without an answer is abandoned: its child processes (ssh, or the command
of an ``ext`` URI) get SIGTERM, and a connection that it opens later is closed at once. While
``OpenLimits.max_abandoned`` abandoned attempts exist, further attempts fail at once.

All methods may be called from any thread.
"""

import errno
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import libvirt

from libvirt_lifecycle_exporter.hypervisor.errors import CLOSED_BY_PEER, cause_of
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.hypervisor.peer_socket import closes_at_once, enable_tcp_keepalive

log = logging.getLogger(__name__)

_CREDENTIALS = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]
_FORK_LOCK = threading.Lock()
"""Held while an attempt starts its child process, so that a new child belongs to exactly one attempt."""
_FORK_TIMEOUT = 2.0
"""Seconds to wait for the child process to appear."""
_TRANSPORTS_WITH_COMMAND = ("ssh", "ext")
"""Transports for which libvirt starts a child process."""
_MAX_TRIES = 20
"""Tries to get the output of a command that ends at once, see ``_lacks_output``; each takes milliseconds."""


class OpenLimits(NamedTuple):
    """Limits of connection attempts; times in seconds."""

    warn_after: float = 15.0
    timeout: float = 60.0
    max_abandoned: int = 3


def open_read_only(uri: str) -> Any:
    """Return an open read-only connection; raises ``libvirtError``."""
    return _open(uri, libvirt.VIR_CONNECT_RO)


def open_read_write(uri: str) -> Any:
    """Return an open read-write connection; raises ``libvirtError``."""
    return _open(uri, 0)


def _open(uri: str, flags: int) -> Any:
    LOOP.start()
    # libvirt offers only the SASL mechanisms whose credential types are listed. It reads the values from the
    # URI's authfile or from auth.conf; the callback is called for those that are missing.
    return libvirt.openAuth(without_prompt(uri), [_CREDENTIALS, _no_credentials, None], flags)


def _no_credentials(_credentials: object, _opaque: object) -> int:
    """Provide no credentials: the exporter has no terminal to prompt on."""
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
    """One connection attempt. Its fields are protected by the opener's condition."""

    def __init__(self, open_uri: Callable[[str], Any]) -> None:
        self.open_uri = open_uri
        self.is_done = False
        self.is_abandoned = False
        self.connection: Any = None
        self.error: BaseException | None = None
        self.children: frozenset[int] = frozenset()


class Opener:
    """Opens connections to one URI, each attempt with a time limit."""

    def __init__(self, uri: str, limits: OpenLimits | None = None) -> None:
        self._uri = uri
        self._limits = limits or OpenLimits()
        self._changed = threading.Condition()
        self._abandoned: set[_Attempt] = set()
        self._running: set[_Attempt] = set()
        self._children: frozenset[int] = frozenset()
        self._is_stopping = False
        self._was_closed_by_peer = False

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
        for _ in range(_MAX_TRIES - 1):
            try:
                return self._open_once(open_uri, on_slow)
            except libvirt.libvirtError as error:
                if not self._lacks_output(error):
                    raise
        return self._open_once(open_uri, on_slow)

    def _lacks_output(self, error: libvirt.libvirtError) -> bool:
        """Return whether the command of the URI ended before libvirt wrote its first message.

        libvirt then raises "Cannot write data" without the output of the command, which says why it ended.
        If the write comes first, the error contains the output. The command ran too shortly to reach a host.
        """
        return (
            _transport(self._uri) in _TRANSPORTS_WITH_COMMAND
            and error.get_error_domain() == libvirt.VIR_FROM_RPC
            and error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
            and error.get_int1() == errno.EPIPE
        )

    def _open_once(self, open_uri: Callable[[str], Any], on_slow: Callable[[float], None]) -> Any:
        if self._was_closed_by_peer and closes_at_once(self._uri):
            raise ConnectionError("the peer accepts connections and closes them at once")
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
            self._take_or_abandon(attempt)
        connection, attempt.connection = attempt.connection, None
        if attempt.is_abandoned:
            raise TimeoutError(
                "stopped while connecting"
                if self._is_stopping
                else f"no answer to the connection attempt within {self._limits.timeout:g} s"
            )
        if attempt.error is not None:
            error, attempt.error = attempt.error, None
            self._was_closed_by_peer = (
                isinstance(error, libvirt.libvirtError) and cause_of(error) == CLOSED_BY_PEER
            )
            raise error
        self._was_closed_by_peer = False
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
        """Abandon running attempts, and reject further ones; returns at once."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            children = frozenset[int]().union(*(attempt.children for attempt in self._running))
        if children:
            terminate(children)

    def terminate_children(self) -> None:
        """Terminate the child processes of open connections; for connections that do not close in time."""
        with self._changed:
            children = self._children
        if children:
            terminate(children)

    def _check_may_open(self) -> None:
        if self._is_stopping:
            raise TimeoutError("stopped while connecting")
        if len(self._abandoned) >= self._limits.max_abandoned:
            raise TimeoutError(
                f"{len(self._abandoned)} connection attempts are still unanswered; waiting for one to end"
            )

    def _start(self, attempt: _Attempt) -> None:
        thread = threading.Thread(target=self._run, args=(attempt,), name="libvirt-open", daemon=True)
        if _transport(self._uri) not in _TRANSPORTS_WITH_COMMAND:
            thread.start()
            return
        with _FORK_LOCK:
            before = child_pids()
            thread.start()
            deadline = time.monotonic() + _FORK_TIMEOUT
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
                log.debug("connection of an abandoned attempt not closed", extra={"error": str(refused)})

    def _wait(self, attempt: _Attempt, seconds: float) -> bool:
        """Wait up to ``seconds``; return whether the attempt is done or the opener is being stopped."""
        with self._changed:
            return self._changed.wait_for(lambda: attempt.is_done or self._is_stopping, max(0.0, seconds))

    def _take_or_abandon(self, attempt: _Attempt) -> None:
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
        enable_tcp_keepalive(self._uri)


def child_pids() -> frozenset[int]:
    """Return the pids of the direct children of this process."""
    own = os.getpid()
    return frozenset(pid for pid, parent in _parents().items() if parent == own)


def terminate(pids: frozenset[int]) -> None:
    """Send SIGTERM to those of ``pids`` that are still children of this process, and to their descendants.

    libvirt waits for its children itself, but only after the call that started them returns. A child of a
    call that hangs would outlive this process.
    """
    parents = _parents()
    own = os.getpid()
    ending = {pid for pid in pids if parents.get(pid) == own}
    while found := {pid for pid, parent in parents.items() if parent in ending} - ending:
        ending |= found
    for pid in ending:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def _parents() -> dict[int, int]:
    """Return the parent of each process that has not ended."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError):
                # The command name, in parentheses, may contain any character.
                state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(folder.name)] = int(parent)
    return parents
