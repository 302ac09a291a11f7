"""Pool of libvirt connections for calls that may hang.

A libvirt call cannot be cancelled. A call that exceeds its time limit is abandoned: its thread and connection
stay with it until it returns, and the pool opens replacements up to ``max_connections``. Each call that hangs
also occupies one of the daemon's 20 ordinary workers (libvirtd.conf, ``max_workers``), so the limit protects
the daemon, too.

One call at a time runs on each connection. libvirt allows more, but its client (9.0) may leave a call unsent
while other calls hang on the same connection, until data arrives there: for seconds, in 3 of 40 trials of
three concurrent calls. A further connection costs less.

Invariant: ``CallPool.run`` waits for each call at most its time limit. All methods may be called from any
thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import libvirt

from libvirt_lifecycle_exporter.runtime.threads import PROBE, ThreadRegistry

log = logging.getLogger(__name__)

KEEPALIVE = (5, 3)
"""Interval in seconds and count: libvirt ends the calls to a frozen daemon after 15-20 s."""

_T = TypeVar("_T")
Call = Callable[[Any], _T]
"""Takes an open connection and returns a result; keeps no virDomain after its return."""


class _PooledConnection:
    """One connection; its first user opens it. At most one thread uses it at a time."""

    def __init__(self, open_connection: Callable[[], Any], threads: ThreadRegistry) -> None:
        self._open = open_connection
        self._threads = threads
        self._connection: Any = None
        self.is_used = False
        self.is_lost = False

    def get(self) -> Any:
        """Return the open connection; open it first if necessary."""
        if self._connection is None:
            opened = self._open()
            try:
                opened.setKeepAlive(*KEEPALIVE)
            except libvirt.libvirtError as error:
                log.debug("keepalive not supported", extra={"error": str(error)})
            self._connection = opened
        return self._connection

    def is_open(self) -> bool:
        """Return whether a call can be sent without opening the connection first."""
        return self._connection is not None

    def update_state(self) -> None:
        """Determine whether the connection is lost."""
        try:
            self.is_lost = self._connection is None or not self._connection.isAlive()
        except Exception as error:
            self.is_lost = True
            if not isinstance(error, libvirt.libvirtError):
                raise

    def close(self) -> None:
        """Close the connection on a new thread: closing sends a request to the daemon and may hang."""
        connection, self._connection = self._connection, None
        if connection is not None:
            arguments = (connection, self._threads)
            threading.Thread(target=_close, args=arguments, name="probe-close", daemon=True).start()


def _close(connection: Any, threads: ThreadRegistry) -> None:
    with threads.guard(PROBE):
        try:
            connection.close()
        except libvirt.libvirtError as error:
            log.debug("probe connection not closed cleanly", extra={"error": str(error)})


@dataclass(eq=False)
class _Caller:
    """One thread of a batch and the call that it makes."""

    connection: _PooledConnection
    key: str = ""
    """Key of the current call; empty between calls."""
    since: float = 0.0
    """When the current call began; monotonic clock."""
    is_abandoned: bool = False
    """Whether the current call exceeded its time limit; the thread ends once it returns."""


@dataclass(eq=False)
class _Batch(Generic[_T]):
    """The calls of one ``CallPool.run``."""

    queue: deque[tuple[str, Call[_T]]]
    callers: set[_Caller] = field(default_factory=set)
    """Threads that work on the batch, without abandoned ones."""
    results: dict[str, _T | libvirt.libvirtError] = field(default_factory=dict)


class CallPool:
    """Runs batches of calls on a bounded number of connections and threads."""

    def __init__(
        self,
        name: str,
        open_connection: Callable[[], Any],
        *,
        max_connections: int,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``name``: of the threads. ``open_connection``: runs on one of these threads."""
        self._threads = threads or ThreadRegistry()
        self._name = name
        self._open = open_connection
        self._max_connections = max_connections
        self._changed = threading.Condition()
        self._connections: list[_PooledConnection] = []
        self._hanging: dict[str, _Caller] = {}
        self._is_stopping = False

    def run(
        self,
        calls: Mapping[str, Call[_T]],
        *,
        concurrency: int,
        timeout: float,
        may_replace: Callable[[], bool] = lambda: True,
    ) -> dict[str, _T | libvirt.libvirtError]:
        """Run calls, each identified by a key; return the results and errors that arrived in time, by key.

        A key whose earlier call still hangs is skipped. ``concurrency``: maximum number of concurrent calls.
        ``timeout``: seconds per call. ``may_replace``: called after a call was abandoned; if it returns
        False, the rest of the batch is dropped.
        """
        self._close_lost()
        with self._changed:
            free = [(key, call) for key, call in calls.items() if key not in self._hanging]
        batch: _Batch[_T] = _Batch(deque(free))
        while True:
            with self._changed:
                abandoned = self._abandon_overdue(batch, timeout)
                if self._is_stopping or not (batch.queue or batch.callers):
                    break
            if abandoned and not may_replace():
                batch.queue.clear()
            with self._changed:
                while len(batch.callers) < concurrency and batch.queue and self._start_caller(batch):
                    pass
                if not batch.callers:
                    break
                self._changed.wait(self._seconds_to_next_timeout(batch, timeout))
        with self._changed:
            if batch.queue:
                log.debug("calls dropped", extra={"pool": self._name, "count": len(batch.queue)})
            batch.queue.clear()
            self._close_unused(concurrency)
            return dict(batch.results)

    def hanging(self) -> frozenset[str]:
        """Return the keys of the abandoned calls that have not returned."""
        with self._changed:
            return frozenset(self._hanging)

    def stop(self) -> None:
        """Close the connections; calls that hang are abandoned. Returns at once."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            self._close_unused(0)

    def _close_lost(self) -> None:
        """Close connections that were lost while unused, so that no call fails on them."""
        with self._changed:
            idle = [one for one in self._connections if not one.is_used and one.is_open()]
        for connection in idle:
            connection.update_state()
        with self._changed:
            for connection in idle:
                if connection.is_lost and not connection.is_used:
                    self._remove(connection)

    def _abandon_overdue(self, batch: _Batch[_T], timeout: float) -> int:
        """Abandon the calls that exceed their time limit; return their number."""
        now = time.monotonic()
        overdue = [caller for caller in batch.callers if caller.key and now - caller.since >= timeout]
        for caller in overdue:
            caller.is_abandoned = True
            batch.callers.discard(caller)
            self._hanging[caller.key] = caller
        return len(overdue)

    @staticmethod
    def _seconds_to_next_timeout(batch: _Batch[_T], timeout: float) -> float:
        now = time.monotonic()
        left = (timeout - (now - one.since) if one.key else timeout for one in batch.callers)
        return max(0.001, min(left))

    def _start_caller(self, batch: _Batch[_T]) -> bool:
        """Start one more thread; return False if the limits do not allow it."""
        connection = next((one for one in self._connections if not (one.is_lost or one.is_used)), None)
        if connection is None:
            # One connection is opened at a time: if the daemon hangs, every attempt would hang.
            is_opening = not all(one.is_open() for one in self._connections)
            if len(self._connections) >= self._max_connections or is_opening:
                return False
            connection = _PooledConnection(self._open, self._threads)
            self._connections.append(connection)
        caller = _Caller(connection)
        thread = threading.Thread(target=self._run_caller, args=(batch, caller), name=self._name, daemon=True)
        # Raises RuntimeError if the system has no more threads; nothing has changed then.
        thread.start()
        connection.is_used = True
        batch.callers.add(caller)
        return True

    def _run_caller(self, batch: _Batch[_T], caller: _Caller) -> None:
        try:
            with self._threads.guard(PROBE):
                while (item := self._next_call(batch, caller)) is not None:
                    self._run_call(batch, caller, *item)
        finally:
            with self._changed, self._threads.guard(PROBE):
                batch.callers.discard(caller)
                self._hanging = {key: one for key, one in self._hanging.items() if one is not caller}
                caller.connection.is_used = False
                self._changed.notify_all()
                if caller.connection.is_lost or self._is_stopping:
                    self._remove(caller.connection)

    def _next_call(self, batch: _Batch[_T], caller: _Caller) -> tuple[str, Call[_T]] | None:
        with self._changed:
            if caller.is_abandoned or caller.connection.is_lost or self._is_stopping or not batch.queue:
                return None
            item = batch.queue.popleft()
            caller.key, caller.since = item[0], time.monotonic()
            return item

    def _run_call(self, batch: _Batch[_T], caller: _Caller, key: str, call: Call[_T]) -> None:
        result: _T | libvirt.libvirtError | None = None
        try:
            result = call(caller.connection.get())
        except libvirt.libvirtError as error:
            caller.connection.update_state()
            result = error
        except (TimeoutError, ConnectionError) as error:
            caller.connection.update_state()
            log.debug("probe connection not opened", extra={"pool": self._name, "error": str(error)})
        except Exception as error:  # noqa: BLE001 - one unexpected result must not affect other calls
            self._threads.report(PROBE, error)
            caller.connection.update_state()
        with self._changed:
            caller.key = ""
            if self._hanging.get(key) is caller:
                del self._hanging[key]
            if caller.connection.is_lost:
                batch.queue.clear()
            if result is not None and not caller.is_abandoned:
                batch.results[key] = result
            self._changed.notify_all()

    def _close_unused(self, keep: int) -> None:
        """Close unused connections beyond the first ``keep``."""
        for connection in [one for one in self._connections if not one.is_used][keep:]:
            self._remove(connection)

    def _remove(self, connection: _PooledConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        connection.close()
