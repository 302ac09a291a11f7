"""A journal with its delivery, without the rest of the exporter."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.journal.export_items import SIGNALS
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.otel.delivery import Delivery
from libvirt_lifecycle_exporter.otel.sender import SignalSender

HERE = "qemu:///system"
STOP = 2.0


def event(
    pair: str = "defined/updated", *, name: str = "web", at: float | None = None, message: str = ""
) -> Transition:
    kind, _, reason = pair.partition("/")
    when = time.time() if at is None else at
    return Transition(when, HERE, f"uuid-{name}", name, 1, kind, reason, reason, 0, "callback", message)


class ExportHarness:
    """`with` starts the delivery; `send` appends transitions to the journal, like the worker."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        rate: float = 0,
        max_age: float = 86_400,
        signals: tuple[str, ...] = SIGNALS,
        clock: Callable[[], float] = time.time,
        is_worker_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = folder / "journal.sqlite"
        tracing = SpanRecorder("this host", traces="traces" in signals, logs="logs" in signals, runs=False)
        self.journal = Journal(self.path, span_recorder=tracing)
        self.journal.restore()
        self.queue = ExportQueue(self.journal, tracing)
        self.delivery = Delivery(
            read_telemetry(environment),
            self.queue,
            {HERE: HERE},
            "this host",
            span_events=True,
            signals=signals,
            max_age=max_age,
            rate=rate,
            clock=clock,
            is_worker_busy=is_worker_busy,
        )
        self.journal.on_append = self.delivery.wake

    def __enter__(self) -> Self:
        self.delivery.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delivery.stop(STOP)
        self.journal.close()

    def send(self, changes: Iterable[Transition]) -> None:
        effects = ChangeBatch()
        for change in changes:
            effects.count_transition(change, change.name)
        self.journal.append(effects)

    def tend(self) -> None:
        self.journal.recover(lambda: NOTHING)

    def sender(self, signal: str) -> SignalSender:
        (found,) = (sender for sender in self.delivery.senders if sender.signal == signal)
        return found

    def pending(self, signal: str) -> int:
        return self.queue.statistics(signal)[0]

    def dead_letters(self) -> list[tuple[str, str]]:
        """Return signal and cause of each dead letter."""
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(
                "SELECT signal, cause FROM dead_letters ORDER BY signal, position"
            ).fetchall()
