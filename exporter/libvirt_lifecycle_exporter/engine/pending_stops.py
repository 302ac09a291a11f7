"""Stops whose verdict is open: the domain before the stop, and the inventory changes that belong to it.

Invariant: what is written is consistent. Until the verdict is given, the journal has the state before the
stop and has not counted a removal. If the exporter is killed now, the next listing proves both again, once.
"""

from collections.abc import Collection, Iterator

from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Key
from libvirt_lifecycle_exporter.model.transitions import InventoryChange


class PendingStops:
    """The stops of the current batch, and earlier ones with an open verdict."""

    def __init__(self) -> None:
        self._stopped: dict[Key, DomainRecord] = {}
        """Records with ``before_stop``: of this batch, or with an open verdict."""
        self._holding: dict[Key, DomainRecord] = {}
        """Records with ``held_changes``: of this batch, or with an open verdict."""

    def begin(self, record: DomainRecord, domain: Domain) -> list[InventoryChange]:
        """Record a domain before it stops; return the held changes, which happened before."""
        record.before_stop = domain.copy()
        self._stopped[record.key] = record
        return self.release_held(record.key)

    def hold(self, record: DomainRecord, changes: list[InventoryChange]) -> list[InventoryChange]:
        """Return the changes to count now; the others wait for the stop."""
        record.held_changes += changes
        self._holding[record.key] = record
        return [] if record.before_stop is not None else self.release_held(record.key)

    def release_held(self, key: Key) -> list[InventoryChange]:
        """Record that the stop is counted; return the changes that waited for it."""
        record = self._holding.pop(key, None)
        if record is None:
            return []
        held, record.held_changes = record.held_changes, []
        return held

    def close_decided(self, pending: Collection[Key]) -> Iterator[tuple[Key, list[InventoryChange]]]:
        """Close the stops whose verdict is not ``pending``; yield the changes that still waited."""
        for key in self._holding.keys() - pending:
            yield key, self.release_held(key)
        for key in self._stopped.keys() - pending:
            self._stopped.pop(key).before_stop = None


def row_to_write(record: DomainRecord) -> Domain | None:
    """Return the domain as the journal must have it now; None if it is not in the inventory."""
    return record.before_stop or record.domain
