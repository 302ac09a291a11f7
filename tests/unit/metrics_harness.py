"""Metrics store and series limit, connected as the engine connects them."""

from collections.abc import Callable

from libvirt_lifecycle_exporter.engine.changes import Change, ChangeBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.transitions import InventoryChange, Transition
from tests.unit.factories import HERE

TTL = 900.0


def raise_error(error: Exception) -> None:
    """Raise the error of a change that could not be applied."""
    raise error


class ExportedDomains(MetricsStore):
    """Metrics of one connection, with a series limit. Each method applies one batch."""

    def __init__(
        self, series_limit: int = 1000, signals: tuple[str, ...] = (), *, has_state_set: bool = False
    ) -> None:
        super().__init__((HERE,), signals, has_state_set=has_state_set)
        self.budget = SeriesLimit(series_limit, TTL, signals, has_state_set=has_state_set)

    def add(self, *changes: Change | None) -> None:
        self.apply(ChangeBatch(change for change in changes if change is not None), raise_error)

    def update(self, values: DomainValues) -> None:
        self.add(self.budget.update_domain(values))

    def release(self, name: str, uuid: str, at: float) -> None:
        self.add(self.budget.release(HERE, name, uuid, at))

    def transition(self, change: Transition) -> None:
        counted_as = self.budget.counting_name(change)
        self._change(lambda batch: batch.count_transition(change, counted_as))

    def trace(self, traced: TracedTransition) -> None:
        self._change(lambda batch: batch.traced.append(traced))

    def add_total(self, connection: str, kind: str) -> None:
        self._change(lambda batch: batch.add_total(connection, kind))

    def add_inventory_change(self, connection: str, change: InventoryChange) -> None:
        self._change(lambda batch: batch.add_inventory_change(connection, change))

    def remove_expired(self, now: float) -> None:
        self._change(lambda batch: batch.expired.extend(self.budget.expire(now)))

    def _change(self, change: Callable[[ChangeBatch], None]) -> None:
        batch = ChangeBatch()
        change(batch)
        self.apply(batch, raise_error)
