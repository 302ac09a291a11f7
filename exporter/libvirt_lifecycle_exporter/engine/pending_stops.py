"""Pure: stops of which it is still open why: how the domain was before, and what the stop changed.

Law: what is written fits together. Until the verdict is given, the journal has the state before the stop and
has counted no removal: should the exporter die now, comparing states finds both again, once.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Key, Records
from libvirt_lifecycle_exporter.model.transitions import InventoryChange


class PendingStops:
    """What was before each stop of the batch, and for longer while its verdict is open."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._stopped: dict[Key, DomainRecord] = {}
        """Records with ``before_stop``: of this batch, or with an open verdict."""
        self._holding: dict[Key, DomainRecord] = {}
        """Records with ``held_changes``: of this batch, or with an open verdict."""

    def begin(self, domain: Domain) -> list[InventoryChange]:
        """Record how a domain is before it stops; return what was held, which is part of that."""
        record = self._records.get(domain.connection, domain.uuid)
        record.before_stop = replace(domain)
        self._stopped[record.key] = record
        return self.counted(record.key)

    def before(self, key: Key) -> Domain | None:
        """Return how the domain was before its newest stop."""
        record = self._records.find(*key)
        return record.before_stop if record is not None else None

    def hold(self, key: Key, changes: list[InventoryChange]) -> list[InventoryChange]:
        """Return those of the changes that are to be counted now; the others wait for the stop."""
        if not changes:
            return changes
        record = self._records.get(*key)
        record.held_changes += changes
        self._holding[key] = record
        return [] if record.before_stop is not None else self.counted(key)

    def counted(self, key: Key) -> list[InventoryChange]:
        """Note that the stop is counted; return what waited for it."""
        record = self._holding.pop(key, None)
        if record is None:
            return []
        held, record.held_changes = record.held_changes, []
        return held

    def settle(self, pending: Collection[Key]) -> Iterator[tuple[Key, list[InventoryChange]]]:
        """Close the stops whose verdict is not ``pending``; return what still waited for them."""
        for key in self._holding.keys() - pending:
            yield key, self.counted(key)
        for key in self._stopped.keys() - pending:
            self._stopped.pop(key).before_stop = None

    def written(self, domains: Iterable[Domain]) -> list[Domain]:
        """Return copies, fit to be written: they may have to wait for it, and the domains live on."""
        return [replace(self.before((one.connection, one.uuid)) or one) for one in domains]
