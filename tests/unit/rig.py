"""The pipeline on a bench: no threads, a journal in memory, the connection's wishes noted."""

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
from tests.unit.seen import HERE


class Asked:
    """Notes what the worker asks of a connection."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.looks: dict[str, EvidenceRequest | None] = {}

    def request_listing(self) -> None:
        self.snapshots += 1

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        self.looks.update(uuids)


class Notebook:
    """A journal in memory: what a file would hold."""

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


class Rig:
    def __init__(
        self,
        include: str = ".*",
        exclude: str = "",
        restored: SavedState = NOTHING,
        monitor: ClockMonitor | None = None,
    ) -> None:
        self.now, self.turn = 1000.0, 0
        self.message_queue, self.asked, self.notebook = MessageQueue(1000), Asked(), Notebook()
        self.sink = MetricsStore((HERE,))
        self.worker = Worker(
            self.message_queue,
            self.sink,
            self.notebook,
            {HERE: self.asked},
            DomainFilter(include, exclude),
            series=SeriesLimit(1000, 900),
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

    def later(self, seconds: float = 2.0) -> None:
        self.now += seconds
        self.turn += 10
        self.worker.tick()


def settle(rig: Rig, *answers: Message) -> None:
    """libvirt says it, and says it again when asked later."""
    rig.feed(*answers)
    rig.later()
    for answer in answers:
        rig.feed(answer._replace(began=rig.message_queue.next_order(), at=rig.now))  # type: ignore[call-arg]
