"""Metrics store and series budget, connected as the engine connects them."""

from libvirt_lifecycle_exporter.engine.changes import DomainUpdated, SeriesExpired
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.factories import HERE

TTL = 900.0


class ExportedDomains(MetricsStore):
    """Metrics of one connection, with a series limit."""

    def __init__(self, series_limit: int = 1000, signals: tuple[str, ...] = ()) -> None:
        super().__init__((HERE,), signals)
        self.budget = SeriesLimit(series_limit, TTL, signals)

    def update(self, values: DomainValues) -> None:
        self._apply(self.budget.update_domain(values))

    def release(self, name: str, uuid: str, at: float) -> None:
        self._apply(self.budget.release(HERE, name, uuid, at))

    def transition(self, change: Transition) -> None:
        self.count(change, self.budget.counting_name(change))

    def remove_expired(self, now: float) -> None:
        for name in self.budget.expire(now):
            self.apply(SeriesExpired(*name))

    def _apply(self, update: DomainUpdated | None) -> None:
        if update is not None:
            self.apply(update)
