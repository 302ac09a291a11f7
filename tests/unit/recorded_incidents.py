"""The incidents of all domains: the functions of ``engine.incidents`` with the records of one engine."""

from collections.abc import Iterable

from libvirt_lifecycle_exporter.engine import incidents
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition


class RecordedIncidents:
    """Opens and closes incidents in ``records``."""

    def __init__(self, records: Records | None = None) -> None:
        self.records = Records() if records is None else records

    def apply(self, change: Transition) -> tuple[str, list[Incident]]:
        return incidents.apply(self.records.get(change.connection, change.uuid), change)

    def close_all(self, connection: str, uuid: str, at: float) -> list[Incident]:
        return incidents.close_all(self.records.get(connection, uuid), at)

    def restore(self, restored: Iterable[Incident]) -> None:
        incidents.restore(self.records, restored)

    def open(self) -> list[Incident]:
        return incidents.open_incidents(self.records)
