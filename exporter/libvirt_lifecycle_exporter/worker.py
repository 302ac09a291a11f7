"""The thread that runs the pipeline: takes messages, writes the journal, tells the sink, asks for more.

Law: what happened is in the journal before it is shown. Nothing here blocks but waiting for messages, and
no message can stop it: what fails is logged, counted and followed by a new snapshot.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from libvirt_lifecycle_exporter.clock import ClockMonitor
from libvirt_lifecycle_exporter.effects import Memory
from libvirt_lifecycle_exporter.filter import DomainFilter
from libvirt_lifecycle_exporter.inbox import Inbox
from libvirt_lifecycle_exporter.pipeline import Pipeline
from libvirt_lifecycle_exporter.ports import Asker, Remembers, Sink
from libvirt_lifecycle_exporter.silence import PATIENT, Patience

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
        inbox: Inbox,
        sink: Sink,
        journal: Remembers,
        askers: Mapping[str, Asker],
        names: DomainFilter,
        *,
        memory: float,
        turns: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
        patience: Patience = PATIENT,
        monitor: ClockMonitor | None = None,
    ) -> None:
        """``memory``: seconds that a removed domain is remembered; ``turns``: of the libvirt event loop."""
        self._inbox = inbox
        self._sink = sink
        self._journal = journal
        self._askers = askers
        self._pipeline = Pipeline(
            askers,
            sink,
            names,
            memory=memory,
            turns=turns,
            clock=clock,
            draw_order=inbox.next_order,
            patience=patience,
            monitor=monitor,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def restore(self, memory: Memory) -> None:
        """Take over what was known before a restart; before ``start``."""
        self._pipeline.restore(memory)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Take in what is queued, then end."""
        self._stopping.set()
        self._thread.join(timeout)

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
        # Read after the batch was taken: what is in it and newer than a loss was put after it.
        self._pipeline.note_gaps(self._inbox.lost)
        for message in batch:
            try:
                self._pipeline.take(message)
            except Exception:
                log.exception("could not take in %s", type(message).__name__)
                self._inbox.lose(message.connection, "worker_error")
                self._askers[message.connection].want_snapshot()
        self._finish()
        return len(batch)

    def tick(self) -> None:
        """Do what is due."""
        self._pipeline.tick()
        self._finish()
        self._journal.tend(self._pipeline.remember)

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while (handled := self.work(_TICK)) or not self._stopping.is_set():
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK
            if handled > 1:
                self._stopping.wait(_GATHER)
        self._pipeline.conclude()
        self._finish()

    def _finish(self) -> None:
        """Write what came up, then show it, then ask for what is not known."""
        effects, wishes = self._pipeline.harvest()
        if effects:
            self._journal.append(effects)
        effects.show()
        for traced in effects.traced:
            self._sink.exemplify(traced)
        for connection in wishes.snapshots:
            self._askers[connection].want_snapshot()
        for connection, looks in wishes.looks.items():
            self._askers[connection].want_looks(looks)
