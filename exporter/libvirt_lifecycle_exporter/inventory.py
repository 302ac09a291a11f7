"""Pure: what is known of every domain, kept up to date by transitions, snapshots and looks.

Law: the newest knowledge wins. A transition is newer than a listing that began before it arrived, so
such a listing changes nothing about that domain. No clock, no I/O, no libvirt.

The RFC asked to tell a transient domain from a persistent one by ADDED started/defined and REMOVED
shutdown/undefined; that is decided here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from libvirt_lifecycle_exporter.states import INACTIVE, state_after
from libvirt_lifecycle_exporter.transition import (
    DomainDetails,
    DomainFacts,
    InventoryChange,
    Look,
    Snapshot,
    Transition,
)

ADDED_STARTED = InventoryChange("added", "started")
ADDED_DEFINED = InventoryChange("added", "defined")
REMOVED_SHUTDOWN = InventoryChange("removed", "shutdown")
REMOVED_UNDEFINED = InventoryChange("removed", "undefined")

BEGINS = frozenset({"started", "resumed"})
"""Events that a transient domain begins with. Others may name one that never ran: libvirt 11 sends a lone
shutdown/host for an incoming migration that was refused."""
ENDS = frozenset({"stopped", "undefined"})
"""Events after which a domain may be gone."""


@dataclass(slots=True)
class Domain:
    """What is known of one domain."""

    connection: str
    uuid: str
    name: str
    state: str
    reason: str
    since: float
    """When it entered this state (or was first seen in it); Unix time, seconds."""
    persistent: bool | None = None
    """None: not known yet."""
    autostart: bool | None = None
    details: DomainDetails | None = None
    present: bool = True
    removed_at: float = 0.0
    newest: int = 0
    """The order of the newest observation about it."""
    origin_open: bool = False
    """Whether it is still open if this domain is new (added) or was there before the exporter looked."""

    def enter(self, state: str, reason: str, at: float) -> None:
        """Note the state it is in now."""
        if state != self.state:
            self.since = at
        self.state, self.reason = state, reason


class Inventory:
    """The domains of all connections."""

    def __init__(self) -> None:
        self._domains: dict[tuple[str, str], Domain] = {}
        self._listed: set[str] = set()

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def find(self, connection: str, uuid: str) -> Domain | None:
        """Return what is known of a domain."""
        return self._domains.get((connection, uuid))

    def is_listed(self, connection: str) -> bool:
        """Tell whether a complete snapshot of the connection was ever taken."""
        return connection in self._listed

    def apply(self, change: Transition, order: int) -> tuple[Domain, list[InventoryChange]]:
        """Take in a transition; return its domain and how the inventory changed."""
        changes: list[InventoryChange] = []
        domain = self._domains.get((change.connection, change.uuid))
        # An answer may overtake its event: a look found it gone, and its end is told only now.
        if domain is None or not (domain.present or change.event in ENDS):
            domain = self._arrive(change, changes, domain)
        domain.newest = order
        domain.name = change.name
        after = state_after(change.event, change.reason)
        if after is not None:
            domain.enter(*after, change.at)
        if change.event == "defined":
            domain.persistent = True
        elif change.event == "undefined" and change.reason != "renamed":
            if domain.state == INACTIVE:
                self._leave(domain, change.at, REMOVED_UNDEFINED, changes)
            domain.persistent = False
        elif change.event == "stopped" and domain.persistent is False:
            self._leave(domain, change.at, REMOVED_SHUTDOWN, changes)
        return domain, changes

    def take(self, snapshot: Snapshot) -> tuple[list[Domain], list[InventoryChange]]:
        """Take in a complete listing; return the domains it says something new about, and the changes.

        Domains missing from it are gone, unless something newer was observed of them.
        """
        changes: list[InventoryChange] = []
        touched: list[Domain] = []
        for facts in snapshot.domains:
            known = self._domains.get((snapshot.connection, facts.uuid))
            if known is not None and known.newest > snapshot.began:
                continue
            touched.append(self._update(known, facts, snapshot.connection, snapshot.at, changes))
        here = {facts.uuid for facts in snapshot.domains}
        for domain in self.of(snapshot.connection):
            if domain.present and domain.uuid not in here and domain.newest < snapshot.began:
                self._vanish(domain, snapshot.at, changes)
                touched.append(domain)
        self._listed.add(snapshot.connection)
        return touched, changes

    def correct(self, look: Look) -> tuple[Domain | None, list[InventoryChange]]:
        """Take in libvirt's answer about one domain; None where something newer is known already."""
        changes: list[InventoryChange] = []
        known = self._domains.get((look.connection, look.uuid))
        if known is not None and known.newest > look.began:
            return None, changes
        if look.facts is None:
            if known is None or not known.present:
                return None, changes
            self._vanish(known, look.at, changes)
            return known, changes
        domain = self._update(known, look.facts, look.connection, look.at, changes)
        domain.details = look.details or domain.details
        return domain, changes

    def of(self, connection: str) -> Iterable[Domain]:
        """Return the domains of one connection."""
        return [domain for domain in self._domains.values() if domain.connection == connection]

    def forget(self, before: float) -> list[Domain]:
        """Drop and return the domains that were removed before ``before`` (Unix time, seconds)."""
        old = [
            domain for domain in self._domains.values() if not domain.present and domain.removed_at < before
        ]
        for domain in old:
            del self._domains[domain.connection, domain.uuid]
        return old

    def _arrive(self, change: Transition, changes: list[InventoryChange], former: Domain | None) -> Domain:
        """A transition of a domain that is not known, or had gone."""
        domain = Domain(change.connection, change.uuid, change.name, INACTIVE, "unknown", change.at)
        domain.details = former.details if former else None
        self._domains[change.connection, change.uuid] = domain
        if change.event == "defined":
            changes.append(ADDED_DEFINED)
        elif change.connection not in self._listed:
            domain.origin_open = True
        elif change.event in BEGINS:
            # All persistent domains are known, so this one is transient.
            changes.append(ADDED_STARTED)
            domain.persistent = False
        return domain

    def _update(
        self,
        known: Domain | None,
        facts: DomainFacts,
        connection: str,
        at: float,
        changes: list[InventoryChange],
    ) -> Domain:
        domain = known or Domain(connection, facts.uuid, facts.name, facts.state, facts.reason, at)
        self._domains[connection, facts.uuid] = domain
        if domain.origin_open and not facts.persistent:
            changes.append(ADDED_STARTED)
        domain.origin_open = False
        domain.present = True
        domain.name = facts.name
        domain.persistent = facts.persistent
        domain.autostart = facts.autostart
        domain.enter(facts.state, facts.reason, at)
        return domain

    def _vanish(self, domain: Domain, at: float, changes: list[InventoryChange]) -> None:
        """It is no longer there, and no event said so (yet)."""
        if domain.origin_open and domain.state == INACTIVE:
            # Seen to stop, and gone: it was transient. Whether it was added before anyone looked is unknown.
            self._leave(domain, at, REMOVED_SHUTDOWN, changes)
        else:
            self._leave(domain, at, None, changes)

    @staticmethod
    def _leave(
        domain: Domain, at: float, why: InventoryChange | None, changes: list[InventoryChange]
    ) -> None:
        domain.present = False
        domain.removed_at = at
        if domain.state != INACTIVE:
            domain.enter(INACTIVE, "unknown", at)
        if why is not None:
            changes.append(why)
