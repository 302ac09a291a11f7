"""The worker thread: takes messages from the queue, runs the engine, writes the journal, updates the metrics.

Invariants: a batch is appended to the journal before it is applied to the metrics. While the journal is
unavailable, the journal buffers history, and the metrics are updated anyway. The thread waits only for
messages and for the journal. No exception ends it, or skips the step after the one that raised: the exception
is reported to the thread registry, and a message that could not be processed is counted and replaced by a new
listing.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.coverage import GRACE, Grace
from libvirt_lifecycle_exporter.engine.engine import Engine
from libvirt_lifecycle_exporter.engine.hang_signals import DEFAULT_THRESHOLDS, HangThresholds
from libvirt_lifecycle_exporter.engine.interfaces import JournalWriter, Metrics, RequestReceiver
from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue, count_observations
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import Message
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.threads import WORKER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_BATCH = 1000
_TICK = 0.25
"""Seconds between runs of the periodic steps."""
_PAUSE_PER_MESSAGE = 0.00001
_MAX_PAUSE = 0.01
"""Seconds to sleep after a batch. libvirt's binding releases the interpreter lock several times per callback;
a worker that takes it each time makes every event cost two thread switches."""


class Worker:
    """Owns the engine."""

    def __init__(
        self,
        message_queue: MessageQueue,
        metrics: Metrics,
        journal: JournalWriter,
        connections: Mapping[str, RequestReceiver],
        domain_filter: DomainFilter,
        *,
        series: SeriesLimit,
        series_ttl: float,
        loop_iterations: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
        thresholds: HangThresholds = DEFAULT_THRESHOLDS,
        threads: ThreadRegistry | None = None,
        grace: Grace = GRACE,
        clock_monitor: ClockMonitor | None = None,
    ) -> None:
        """Create the worker. Arguments as for ``engine.Engine``."""
        self._threads = threads or ThreadRegistry()
        self._message_queue = message_queue
        self._metrics = metrics
        self._series = series
        self._journal = journal
        self._connections = connections
        self._engine = Engine(
            connections,
            series,
            domain_filter,
            series_ttl=series_ttl,
            loop_iterations=loop_iterations,
            clock=clock,
            next_order=message_queue.next_order,
            thresholds=thresholds,
            grace=grace,
            clock_monitor=clock_monitor,
        )
        self._unwritten: list[Message] = []
        """Messages that were taken from the queue and are not written yet."""
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._thread = SupervisedThread(self._threads, WORKER, "worker", self._run, self._stopping)

    def restore(self, saved: SavedState) -> None:
        """Load what was known before a restart. Call it before ``start``."""
        with self._threads.guard(WORKER):
            state, changes = self._engine.restore(saved)
            self._metrics.restore(state, self._series.names())
            self._apply(ChangeBatch(changes))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> int:
        """Process what is queued, for at most ``timeout`` seconds, and end the thread.

        Return the number of observations that are lost; they are counted and logged.
        """
        self._stop_by = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        in_hand = count_observations(list(self._unwritten))
        self._message_queue.dropped["shutdown"] += in_hand
        lost = in_hand + self._message_queue.discard()
        if lost:
            log.warning("stopped before all queued events were written; events lost", extra={"events": lost})
        return lost

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def is_ready(self) -> bool:
        """Return whether at least one connection has been listed completely."""
        return self._engine.is_ready()

    def hung_signals(self, connection: str, uuid: str) -> tuple[str, ...]:
        """Return the signals by which a domain is hung now."""
        return self._engine.hung_signals(connection, uuid)

    def down_connections(self) -> list[str]:
        """Return the names of the connections that are down."""
        return self._engine.down_connections()

    def process_batch(self, timeout: float = 0.0) -> int:
        """Process what is queued; wait for it at most ``timeout`` seconds. Return the number of messages."""
        batch = self._message_queue.take(_BATCH, timeout)
        self._unwritten = batch
        with self._threads.guard(WORKER):
            self._engine.observe_clock()
        # After taking the batch: a message in it that is newer than a loss was queued after it.
        with self._threads.guard(WORKER):
            self._engine.note_gaps(self._message_queue.lost)
        for message in batch:
            try:
                self._engine.process(message)
            except Exception as error:  # noqa: BLE001 - see the invariant above
                self._replace_by_listing(message, error)
        self._write_and_apply()
        self._unwritten = []
        return len(batch)

    def tick(self) -> None:
        """Run the periodic steps."""
        with self._threads.guard(WORKER):
            self._engine.observe_clock()
        steps: tuple[Callable[[], None], ...] = ()
        with self._threads.guard(WORKER):
            steps = self._engine.periodic_steps()
        for step in steps:
            with self._threads.guard(WORKER):
                step()
        self._write_and_apply()
        with self._threads.guard(WORKER):
            self._journal.recover(self._state)

    def _replace_by_listing(self, message: Message, error: Exception) -> None:
        """Count a message that could not be processed, and request a listing in its place."""
        self._threads.report(WORKER, error)
        self._message_queue.record_loss(message.connection, "worker_error")
        with self._threads.guard(WORKER):
            self._connections[message.connection].request_listing()

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while ((handled := self.process_batch(_TICK)) or not self._stopping.is_set()) and self._has_time():
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK
            if handled > 1:
                self._stopping.wait(min(handled * _PAUSE_PER_MESSAGE, _MAX_PAUSE))
        with self._threads.guard(WORKER):
            self._engine.close_verdicts()
        self._write_and_apply()
        with self._threads.guard(WORKER):
            self._journal.recover(self._state)

    def _has_time(self) -> bool:
        return time.monotonic() < self._stop_by

    def _write_and_apply(self) -> None:
        """Write the changes, apply them to the metrics, then send the requests."""
        with self._threads.guard(WORKER):
            self._engine.settle()
        batch, requests = self._engine.collect()
        if batch:
            with self._threads.guard(WORKER):
                self._journal.append(batch)
        self._apply(batch)
        for connection in requests.listings:
            with self._threads.guard(WORKER):
                self._connections[connection].request_listing()
        for connection, lookups in requests.lookups.items():
            with self._threads.guard(WORKER):
                self._connections[connection].request_lookups(lookups)

    def _apply(self, batch: ChangeBatch) -> None:
        self._metrics.apply(batch, lambda error: self._threads.report(WORKER, error))

    def _state(self) -> SavedState:
        """Return the current state as the journal stores it."""
        return self._engine.state(*self._metrics.counted())
