"""An exporter without threads and libvirt on a real journal: a test feeds, kills and restarts it."""

from pathlib import Path
from typing import Any, Self

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, Listing, Lookup, Observation
from tests.unit.exporter_model import Clock, Exporter
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.factories import HERE, lifecycle

QUEUE_SIZE = 1_000_000
"""Capacity of the message queue."""


class SimulatedExporter(Exporter):
    """The settings (attributes) may change between restarts."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """``settings``: attributes of ``Exporter``."""
        self.clock = Clock()
        self.__dict__.update(settings)
        super().__init__(folder, self.clock, QUEUE_SIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enqueue(self, *messages: Observation | Listing | Lookup) -> None:
        """Enqueue messages in this order, each newer than the previous one; they form one batch."""
        for message in messages:
            order, at = self.message_queue.next_order(), self.clock.tick()
            if isinstance(message, Observation):
                self.message_queue.put(message._replace(order=order, at=at))
            elif isinstance(message, Listing):
                self.message_queue.put(message._replace(began=order, at=at))
            else:
                self.message_queue.put(message._replace(began=order, at=at))

    def feed(self, *messages: Observation | Listing | Lookup) -> None:
        """Process each message as a batch of its own."""
        for message in messages:
            self.enqueue(message)
            self.work()

    def advance(self, seconds: float = 2.0) -> None:
        self.clock.now += seconds
        self.clock.turns += 10
        self.tick()

    def connect_and_list(self, *listings: Listing) -> None:
        """Connect, then repeat the listings until the exporter has confirmed every difference."""
        for listing in listings:
            self.message_queue.put(ConnectionUp(self.clock.tick(), listing.connection))
        for _ in range(3):
            self.feed(*listings)
            self.advance()

    def inferred(self) -> list[tuple[str, str, str]]:
        """Return name, event and reason of the transitions that were inferred from listings."""
        return [(row.name, row.event, row.reason) for row in self.rows() if row.source == "reconcile"]

    def inventory_changes(self, change: str, reason: str) -> float | None:
        """Return the counter of inventory changes."""
        return value(self.metrics, "libvirt_domain_inventory_changes_total", change=change, reason=reason)

    def all_inventory_changes(self) -> list[float | None]:
        kinds = ("added", "started"), ("added", "defined"), ("removed", "shutdown"), ("removed", "undefined")
        return [self.inventory_changes(*kind) for kind in kinds]

    def known_domains(self) -> set[str]:
        """Return the names of the domains whose state is in the journal."""
        return {domain.name for domain in self.saved_state().domains}

    def crash_count(self, name: str, connection: str = HERE) -> float | None:
        return value(
            self.metrics, EVENTS, domain=name, event="stopped", reason="crashed", connection=connection
        )


def crash_event(name: str) -> Observation:
    return lifecycle("stopped", "crashed", name=name)
