"""Harness of the worker: no threads, a journal in memory, and a recorder of the requests to the
connection.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.coverage import Grace
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, SavedState
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Message
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from tests.unit.factories import HERE


class RequestRecorder:
    """Records the requests of the worker to a connection."""

    def __init__(self) -> None:
        self.listings = 0
        self.lookups: dict[str, EvidenceRequest | None] = {}

    def request_listing(self) -> None:
        self.listings += 1

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        self.lookups.update(uuids)


class FakeJournal:
    """A journal in memory."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.domains: dict[tuple[str, str], Domain] = {}
        self.memory: Callable[[], SavedState] = lambda: NOTHING

    def append(self, effects: ChangeBatch) -> None:
        self.transitions += effects.transitions
        self.domains |= {key: replace(domain) for key, domain in effects.domains.items()}

    def recover(self, now: Callable[[], SavedState]) -> None:
        self.memory = now

    def pairs(self, source: str) -> list[tuple[str, str]]:
        return [(change.event, change.reason) for change in self.transitions if change.source == source]


class WorkerHarness:
    def __init__(
        self,
        include: str = ".*",
        exclude: str = "",
        restored: SavedState = NOTHING,
        monitor: ClockMonitor | None = None,
        *,
        series_limit: int = 1000,
        journal: FakeJournal | None = None,
    ) -> None:
        self.now, self.turn = 1000.0, 0
        self.message_queue, self.requests = MessageQueue(1000), RequestRecorder()
        self.journal = FakeJournal() if journal is None else journal
        self.metrics = MetricsStore((HERE,))
        self.worker = Worker(
            self.message_queue,
            self.metrics,
            self.journal,
            {HERE: self.requests},
            DomainFilter(include, exclude),
            series=SeriesLimit(series_limit, 900),
            series_ttl=900,
            loop_iterations=lambda: self.turn,
            clock=lambda: self.now,
            clock_monitor=monitor,
            grace=Grace(monotonic=lambda: self.now),
        )
        self.worker.restore(restored)

    def feed(self, *messages: Message) -> None:
        for message in messages:
            self.message_queue.put(message)
        while self.worker.process_batch():
            pass

    def advance(self, seconds: float = 2.0) -> None:
        self.now += seconds
        self.turn += 10
        self.worker.tick()


def confirm(harness: WorkerHarness, *answers: Message) -> None:
    """Feed answers, and the same answers again after the time for a confirmation."""
    harness.feed(*answers)
    harness.advance()
    for answer in answers:
        harness.feed(answer._replace(began=harness.message_queue.next_order(), at=harness.now))  # type: ignore[call-arg]
