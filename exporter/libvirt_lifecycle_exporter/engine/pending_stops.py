"""Pure: stops of which it is still open why: how the domain was before, and what the stop changed.

Law: what is written fits together. Until the verdict is given, the journal has the state before the stop and
has counted no removal: should the exporter die now, comparing states finds both again, once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.transitions import InventoryChange

Key = tuple[str, str]
"""connection, uuid"""


class PendingStops:
    """Remembers what was before each stop of the batch, and for longer while its verdict is open."""

    def __init__(self) -> None:
        self._before: dict[Key, Domain] = {}
        self._held: dict[Key, list[InventoryChange]] = defaultdict(list)

    def begin(self, domain: Domain) -> list[InventoryChange]:
        """Note how a domain is before it stops; return what was held, which is part of that."""
        key = (domain.connection, domain.uuid)
        self._before[key] = replace(domain)
        return self.counted(key)

    def before(self, key: Key) -> Domain | None:
        """Return how the domain was before its newest stop."""
        return self._before.get(key)

    def hold(self, key: Key, changes: list[InventoryChange]) -> list[InventoryChange]:
        """Return those of the changes that are to be counted now; the others wait for the stop."""
        if not changes:
            return changes
        self._held[key] += changes
        return [] if key in self._before else self.counted(key)

    def counted(self, key: Key) -> list[InventoryChange]:
        """Note that the stop is counted; return what waited for it."""
        return self._held.pop(key, [])

    def settle(self, pending: Collection[Key]) -> Iterator[tuple[Key, list[InventoryChange]]]:
        """Let go of the stops whose verdict is not ``pending``; return what still waited for them."""
        for key in self._held.keys() - pending:
            yield key, self.counted(key)
        self._before = {key: domain for key, domain in self._before.items() if key in pending}

    def written(self, domains: Iterable[Domain]) -> list[Domain]:
        """Return copies, fit to be written: they may have to wait for it, and the domains live on."""
        return [replace(self._before.get((one.connection, one.uuid), one)) for one in domains]
