"""Identity and state of every domain. Transitions change them; libvirt's answers refine them.

Invariant: only a transition changes a state, a name, or which domains exist, so everything that is exported
was counted. For an answer that contradicts what is known, ``reconcile`` applies the missed transitions here.

libvirt's 2008 RFC distinguishes transient from persistent domains by ADDED started/defined and REMOVED
shutdown/undefined. That is decided here.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from libvirt_lifecycle_exporter.engine.coverage import ObservationGaps
from libvirt_lifecycle_exporter.engine.missed_transitions import (
    determines_state,
    infer_missed,
    infer_missed_before,
)
from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Records
from libvirt_lifecycle_exporter.engine.run_identity import merged
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainDetails, DomainFacts, Lookup
from libvirt_lifecycle_exporter.model.states import AFTER_EVENT, INACTIVE, state_after
from libvirt_lifecycle_exporter.model.transitions import InventoryChange, Transition

ADDED_STARTED = InventoryChange("added", "started")
ADDED_DEFINED = InventoryChange("added", "defined")
REMOVED_SHUTDOWN = InventoryChange("removed", "shutdown")
REMOVED_UNDEFINED = InventoryChange("removed", "undefined")

SHUTTING_DOWN = AFTER_EVENT["shutdown", "host"]
FIRST_EVENTS = frozenset({"started", "resumed"})
"""Events that a transient domain begins with. Others may name one that never ran: libvirt 11 sends a lone
shutdown/host for an incoming migration that was refused."""


class Update(NamedTuple):
    """What a transition changed of a domain."""

    domain: Domain
    changes: list[InventoryChange]
    old_name: str | None
    """The name that the domain no longer has."""


class Inventory:
    """The domains of all connections."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._listed: dict[str, Callable[[str], bool]] = {}
        """By connection: whether all domains with a given name are known."""
        self._drivers: dict[str, str] = {}
        """The driver behind each connection."""
        self._gaps = ObservationGaps(self._records)

    def find(self, connection: str, uuid: str) -> Domain | None:
        """Return a domain; None if it is not known."""
        record = self._records.find(connection, uuid)
        return None if record is None else record.domain

    def all(self) -> list[Domain]:
        """Return all domains, also those that were removed and are not yet forgotten."""
        return [record.domain for record in self._records if record.domain is not None]

    def of(self, connection: str) -> list[Domain]:
        """Return the domains of one connection."""
        return [domain for domain in self.all() if domain.connection == connection]

    def restore(self, domains: Iterable[Domain], listed: Mapping[str, Callable[[str], bool]]) -> None:
        """Load the domains from before a restart.

        ``listed``: by connection, whether all domains of a given name were known.
        """
        for domain in domains:
            self._records.enter(domain)
        self._listed.update(listed)

    def covers(self, connection: str, known: Domain | None, name: str) -> bool:
        """Return whether a domain would be known if it had existed before.

        ``name``: its name now; ``known``: what is known of it.
        """
        if known is not None and known.present:
            name = known.name
        return connection in self._listed and self._listed[connection](name)

    def note_listed(self, connection: str, began: int, at: float) -> None:
        """Record a complete listing. ``began``: the order at which it was requested; ``at``: Unix time."""
        self._listed[connection] = lambda _: True
        self._gaps.record_listing(connection, began, at)

    def note_gap(self, connection: str, order: int) -> None:
        """Record that events of the connection may have been missed up to ``order``."""
        self._gaps.open_gap(connection, order)

    def note_driver(self, connection: str, driver: str) -> None:
        """Record the driver behind the connection."""
        self._drivers[connection] = driver

    def infer_missed(self, record: DomainRecord, found: DomainFacts | None) -> list[tuple[str, str]]:
        """Return the (event, reason) pairs that must have happened between what is known and this answer."""
        return infer_missed(record.domain, found, self._drivers.get(record.connection, ""))

    def infer_missed_before(self, record: DomainRecord, change: Transition) -> list[tuple[str, str]]:
        """Return the (event, reason) pairs that must have happened between what is known and this event."""
        domain = record.domain
        if domain is None or not domain.present:
            may_be_missed = self._is_covered(change) and self._gaps.may_have_missed_domains(
                change.connection, change.at
            )
            return infer_missed_before(None, change) if may_be_missed else []
        may_be_missed = self._gaps.may_have_missed(record, change.at) or (
            domain.start_pending and change.event != "shutdown"
        )
        if not may_be_missed:
            return []
        return infer_missed_before(domain, change, self._drivers.get(change.connection, ""))

    def apply(self, record: DomainRecord, change: Transition, order: int) -> Update:
        """Apply a transition with libvirt's own reason."""
        changes: list[InventoryChange] = []
        domain = record.domain
        if domain is None or not domain.present:
            domain = self._add(record, change, changes)
        domain.newest_order = order
        old_name = domain.name if domain.name != change.name else None
        domain.name = change.name
        if determines_state(change):
            self._gaps.record_event(record, order)
        self._enter_state(domain, change)
        if change.event == "defined":
            domain.persistent = True
        elif change.event == "undefined" and change.detail != "renamed":
            if domain.state == INACTIVE:
                _remove(domain, change.at)
                changes.append(REMOVED_UNDEFINED)
            domain.persistent = False
        elif change.event == "stopped" and domain.persistent is False:
            _remove(domain, change.at)
            changes.append(REMOVED_SHUTDOWN)
        return Update(domain, changes, old_name)

    def adopt(self, record: DomainRecord, facts: DomainFacts, at: float) -> Update:
        """Take over a domain that existed before the first listing."""
        changes: list[InventoryChange] = []
        domain = record.domain
        if domain is None or not domain.present:
            domain = Domain(record.connection, facts.uuid, facts.name, facts.state, facts.reason, at)
            domain.run_id = (
                "" if facts.state == INACTIVE else hashlib.sha256(facts.uuid.encode()).hexdigest()[:16]
            )
            self._records.enter(domain)
        elif domain.origin_unknown and not facts.persistent:
            changes.append(ADDED_STARTED)
        domain.origin_unknown = domain.start_pending = False
        self._gaps.record_adopted(record)
        domain.enter(facts.state, facts.reason, at)
        domain.run_evidence = NO_EVIDENCE
        old_name = domain.name if domain.name != facts.name else None
        domain.name = facts.name
        self.refine(domain, facts, None)
        return Update(domain, changes, old_name)

    def remove_unlisted(self, domain: Domain, at: float) -> list[InventoryChange]:
        """Remove a domain that was never listed."""
        _remove(domain, at)
        return [REMOVED_SHUTDOWN] if domain.state == INACTIVE and domain.origin_unknown else []

    @staticmethod
    def enter_reported_state(domain: Domain, facts: DomainFacts, at: float) -> None:
        """Enter the state that libvirt reports, after the missed transitions were applied."""
        if domain.state != facts.state:
            domain.enter(facts.state, facts.reason, at)

    def apply_consistent(self, record: DomainRecord, domain: Domain, lookup: Lookup) -> bool:
        """Apply an answer that contradicts nothing; return whether anything changed."""
        self._gaps.record_answer(record, lookup.began, lookup.at)
        if lookup.facts is not None:
            return self.refine(domain, lookup.facts, lookup.details)
        if not domain.present:
            return False
        # An event named a domain that never existed.
        _remove(domain, lookup.at)
        return True

    @staticmethod
    def refine(domain: Domain, facts: DomainFacts, details: DomainDetails | None) -> bool:
        """Apply the facts that no event contains; return whether anything changed."""
        before = _answered(domain)
        domain.reason, domain.confirmed = facts.reason, True
        domain.persistent = facts.persistent
        domain.autostart = facts.autostart
        domain.domain_id = facts.domain_id
        is_off = facts.state == INACTIVE
        domain.run_evidence = NO_EVIDENCE if is_off else merged(domain.run_evidence, facts.run_evidence)
        domain.details = details or domain.details
        return before != _answered(domain)

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        self._gaps.shift(jump)
        for domain in self.all():
            if not domain.present:
                domain.removed_at += jump

    def removed_before(self, before: float) -> list[Domain]:
        """Return the domains that were removed before ``before`` (Unix time, seconds)."""
        return [domain for domain in self.all() if not domain.present and domain.removed_at < before]

    def _is_covered(self, change: Transition) -> bool:
        return change.connection in self._listed and self._listed[change.connection](change.name)

    @staticmethod
    def _enter_state(domain: Domain, change: Transition) -> None:
        """Enter the state that the transition leads to."""
        after = state_after(change.event, change.detail)
        if after is None:
            return
        if domain.state == INACTIVE != after[0]:
            is_sure = determines_state(change) or domain.origin_unknown
            if change.event == "shutdown" and (domain.start_pending or not is_sure):
                # The start is reported later, or was missed; or the domain never started.
                domain.early_shutdown_id = change.domain_id
                return
            if not is_sure:
                # The domain is starting, and an event will say so; or it never starts.
                domain.start_pending, domain.early_shutdown_id, domain.run_id = True, -1, run_id(change)
                return
            if not domain.start_pending:
                domain.run_id = run_id(change)
        if change.event in ("started", "stopped"):
            # What identifies one run says nothing about the next run.
            domain.run_evidence = NO_EVIDENCE
        if change.event == "started" and domain.has_early_shutdown(change.domain_id):
            after = SHUTTING_DOWN
        domain.start_pending, domain.early_shutdown_id = False, -1
        domain.enter(*after, change.at)
        domain.domain_id = change.domain_id

    def _add(self, record: DomainRecord, change: Transition, changes: list[InventoryChange]) -> Domain:
        """Create a domain for a transition of a domain that is not known or was removed."""
        domain = Domain(change.connection, change.uuid, change.name, INACTIVE, "unknown", change.at)
        domain.details = record.domain.details if record.domain else None
        self._records.enter(domain)
        self._gaps.record_adopted(record)
        if change.event == "defined":
            if change.detail != "renamed":
                changes.append(ADDED_DEFINED)
        elif not self._is_covered(change):
            domain.origin_unknown = True
        elif change.event in FIRST_EVENTS:
            # All persistent domains are known, so this one is transient.
            changes.append(ADDED_STARTED)
            domain.persistent = False
        return domain


def _answered(domain: Domain) -> tuple[object, ...]:
    """Return the facts that only answers contain."""
    return (
        domain.reason,
        domain.confirmed,
        domain.persistent,
        domain.autostart,
        domain.domain_id,
        domain.details,
        domain.run_evidence,
    )


def _remove(domain: Domain, at: float) -> None:
    domain.present = False
    domain.removed_at = at


def run_id(change: Transition) -> str:
    return hashlib.sha256(f"{change.connection} {change.uuid} {change.at!r}".encode()).hexdigest()[:16]
