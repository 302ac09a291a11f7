"""Stops whose verdict is open: the domain before the stop, and the inventory changes that belong to it.

Invariant: what is written is consistent. Until the verdict is given, the journal has the state before the
stop and has not counted a removal. If the exporter is killed now, the next listing proves both again, once.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Key, Records
from libvirt_lifecycle_exporter.model.transitions import InventoryChange


class PendingStops:
    """The stops of the current batch, and earlier ones with an open verdict."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._stopped: dict[Key, DomainRecord] = {}
        """Records with ``before_stop``: of this batch, or with an open verdict."""
        self._holding: dict[Key, DomainRecord] = {}
        """Records with ``held_changes``: of this batch, or with an open verdict."""

    def begin(self, domain: Domain) -> list[InventoryChange]:
        """Record a domain before it stops; return the held changes, which happened before."""
        record = self._records.get(domain.connection, domain.uuid)
        record.before_stop = replace(domain)
        self._stopped[record.key] = record
        return self.release_held(record.key)

    def before(self, key: Key) -> Domain | None:
        """Return the domain before its newest stop; None if that is written."""
        record = self._records.find(*key)
        return record.before_stop if record is not None else None

    def hold(self, key: Key, changes: list[InventoryChange]) -> list[InventoryChange]:
        """Return the changes to count now; the others wait for the stop."""
        if not changes:
            return changes
        record = self._records.get(*key)
        record.held_changes += changes
        self._holding[key] = record
        return [] if record.before_stop is not None else self.release_held(key)

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

    def rows_to_write(self, domains: Iterable[Domain]) -> list[Domain]:
        """Return copies for the journal, which may write them later."""
        return [replace(self.before((one.connection, one.uuid)) or one) for one in domains]
