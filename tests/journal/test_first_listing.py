"""After a kill before the first listing is in the journal, the next start finds no new domains."""

from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    DomainFacts,
    Listing,
    Message,
)
from tests.journal.values import CONNECTION, UUID, messages


class SilentConnection:
    """A connection that never answers a request."""

    def request_listing(self) -> None:
        pass

    def request_lookups(self, lookups: object) -> None:
        pass


class MinimalExporter:
    """An exporter without libvirt and threads, from its start to its end."""

    def __init__(self, path: Path) -> None:
        self.now, self.turn = 1000.0, 0
        self.message_queue, self.journal = MessageQueue(1000), Journal(path)
        sink = MetricsStore((CONNECTION,))
        self.worker = Worker(
            self.message_queue,
            sink,
            self.journal,
            {CONNECTION: SilentConnection()},
            DomainFilter(".*", ""),
            series=SeriesLimit(1000, 900),
            series_ttl=900,
            loop_iterations=lambda: self.turn,
            clock=lambda: self.now,
        )
        self.worker.restore(self.journal.restore())

    def process(self, *messages: Message) -> None:
        for message in messages:
            self.message_queue.put(message)
            self.worker.process_batch()
            self.now, self.turn = self.now + 2, self.turn + 5
            self.worker.tick()

    def listing(self) -> Listing:
        facts = DomainFacts(UUID, "web-1", 1, "running", "booted", persistent=True, autostart=False)
        return Listing(self.message_queue.next_order(), self.now, CONNECTION, (facts,))

    def stop(self) -> None:
        self.journal.close()


@pytest.mark.parametrize(
    "before",
    [
        [ConnectionUp(1000, CONNECTION)],
        [ConnectionUp(1000, CONNECTION), ConnectionDown(1001, CONNECTION, "lost")],
        [ConnectionDown(1000, CONNECTION, "refused")],
    ],
    ids=["connected", "lost", "refused"],
)
def test_domains_of_first_listing_are_not_transitions(before: list[Message], path: Path) -> None:
    first = MinimalExporter(path)
    first.process(*before)
    first.stop()
    second = MinimalExporter(path)
    second.process(ConnectionUp(1010, CONNECTION))
    for _ in range(3):
        second.process(second.listing())
    second.stop()
    assert messages(path) == []


def test_domain_new_after_a_listing_is_counted(path: Path) -> None:
    first = MinimalExporter(path)
    first.process(ConnectionUp(1000, CONNECTION), Listing(1, 1000, CONNECTION, ()))
    first.stop()
    second = MinimalExporter(path)
    second.process(ConnectionUp(1010, CONNECTION))
    for _ in range(3):
        second.process(second.listing())
    second.stop()
    assert len(messages(path)) == 2
