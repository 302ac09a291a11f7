"""The thread that runs the pipeline: takes messages, writes the journal, tells the sink, asks for more.

Law: what happened is in the journal before it is shown. Nothing here blocks but waiting for messages.

Invariant: no exception ends this thread or stops the step after the one that raised. It is reported to the
thread registry; where a message was lost, that is counted and a new snapshot is requested.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from libvirt_lifecycle_exporter.engine.changes import SavedState
from libvirt_lifecycle_exporter.engine.coverage import GRACE, Grace
from libvirt_lifecycle_exporter.engine.engine import Engine
from libvirt_lifecycle_exporter.engine.hang_signals import PATIENT, HangThresholds
from libvirt_lifecycle_exporter.engine.interfaces import RequestReceiver, Sink, StateWriter
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue, observations
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import Message
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.threads import WORKER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_BATCH = 1000
_TICK = 0.25
"""Seconds; a verdict, a second question and the journal's mending wait for it."""
_GATHER = 0.002
"""Seconds of rest after more than one message. libvirt's binding lets go of the interpreter lock several
times per callback; a worker that snatches it each time makes every event cost two thread switches."""


class Worker:
    """Owns the pipeline."""

    def __init__(
        self,
        message_queue: MessageQueue,
        sink: Sink,
        journal: StateWriter,
        askers: Mapping[str, RequestReceiver],
        names: DomainFilter,
        *,
        memory: float,
        turns: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
        patience: HangThresholds = PATIENT,
        threads: ThreadRegistry | None = None,
        grace: Grace = GRACE,
        monitor: ClockMonitor | None = None,
    ) -> None:
        """``memory``: seconds that a removed domain is remembered; ``turns``: of the libvirt event loop."""
        self._threads = threads or ThreadRegistry()
        self._inbox = message_queue
        self._sink = sink
        self._journal = journal
        self._askers = askers
        self._pipeline = Engine(
            askers,
            sink,
            names,
            memory=memory,
            turns=turns,
            clock=clock,
            draw_order=message_queue.next_order,
            patience=patience,
            grace=grace,
            monitor=monitor,
        )
        self._in_hand: list[Message] = []
        """Messages that were taken from the queue and are not yet written."""
        self._stopping = threading.Event()
        self._stop_by = float("inf")
        self._thread = SupervisedThread(self._threads, WORKER, "worker", self._run, self._stopping)

    def restore(self, memory: SavedState) -> None:
        """Take over what was known before a restart; before ``start``."""
        with self._threads.guard(WORKER):
            self._pipeline.restore(memory)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> int:
        """Process what is queued, for ``timeout`` seconds at most, then end.

        Return the number of observations that are lost; they are counted and logged.
        """
        self._stop_by = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        in_hand = observations(list(self._in_hand))
        self._inbox.dropped["shutdown"] += in_hand
        lost = in_hand + self._inbox.discard()
        if lost:
            log.warning("stopped before all queued events were written: %d events are lost", lost)
        return lost

    def is_alive(self) -> bool:
        """Tell whether the pipeline runs."""
        return self._thread.is_alive()

    def ready(self) -> bool:
        """Tell whether at least one connection has been listed completely."""
        return self._pipeline.ready()

    def down(self) -> list[str]:
        """Name the connections that are down."""
        return self._pipeline.down()

    def work(self, timeout: float = 0.0) -> int:
        """Take in what is queued (wait up to ``timeout`` seconds for it); return how many messages it was."""
        batch = self._inbox.take(_BATCH, timeout)
        self._in_hand = batch
        with self._threads.guard(WORKER):
            self._pipeline.observe_clock()
        # Read after the batch was taken: what is in it and newer than a loss was put after it.
        with self._threads.guard(WORKER):
            self._pipeline.note_gaps(self._inbox.lost)
        for message in batch:
            try:
                self._pipeline.take(message)
            except Exception as error:  # noqa: BLE001 - see the invariant above
                self._lose(message, error)
        self._finish()
        self._in_hand = []
        return len(batch)

    def tick(self) -> None:
        """Do what is due."""
        with self._threads.guard(WORKER):
            self._pipeline.observe_clock()
        steps: tuple[Callable[[], None], ...] = ()
        with self._threads.guard(WORKER):
            steps = self._pipeline.due()
        for step in steps:
            with self._threads.guard(WORKER):
                step()
        self._finish()
        with self._threads.guard(WORKER):
            self._journal.recover(self._pipeline.remember)

    def _lose(self, message: Message, error: Exception) -> None:
        """Count a message that could not be processed, and request a snapshot in its place."""
        self._threads.report(WORKER, error)
        self._inbox.lose(message.connection, "worker_error")
        with self._threads.guard(WORKER):
            self._askers[message.connection].want_snapshot()

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while ((handled := self.work(_TICK)) or not self._stopping.is_set()) and self._has_time():
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK
            if handled > 1:
                self._stopping.wait(_GATHER)
        with self._threads.guard(WORKER):
            self._pipeline.conclude()
        self._finish()
        with self._threads.guard(WORKER):
            self._journal.recover(self._pipeline.remember)

    def _has_time(self) -> bool:
        return time.monotonic() < self._stop_by

    def _finish(self) -> None:
        """Write what came up, then show it, then ask for what is not known."""
        with self._threads.guard(WORKER):
            self._pipeline.settle()
        effects, wishes = self._pipeline.harvest()
        if effects:
            with self._threads.guard(WORKER):
                self._journal.append(effects)
        effects.show(lambda error: self._threads.report(WORKER, error))
        for traced in effects.traced:
            with self._threads.guard(WORKER):
                self._sink.exemplify(traced)
        for connection in wishes.snapshots:
            with self._threads.guard(WORKER):
                self._askers[connection].want_snapshot()
        for connection, looks in wishes.looks.items():
            with self._threads.guard(WORKER):
                self._askers[connection].want_looks(looks)
