"""Incidents: the problems that transitions are evidence of.

Invariants: a domain has at most one open incident of each kind, and one cause opens one incident. A
migration, a planned stop or a destroy opens none. An incident is closed once, when the domain runs normally
again or is removed, and never before it was opened.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from libvirt_lifecycle_exporter.engine.record import DomainRecord, Records
from libvirt_lifecycle_exporter.model.severity import CRASHED, FAILED, HUNG, IO_ERROR, meaning_of
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

Pair = tuple[str, str]

KINDS: Final = (CRASHED, HUNG, IO_ERROR, FAILED)

RUNNING_AGAIN: Final = frozenset({"started", "resumed"})
"""Events that close incidents: the domain runs."""

NOT_RUNNING_AGAIN: Final = frozenset({("started", "migrated"), ("resumed", "postcopy_failed")})
"""Exceptions: the domain is still arriving, or part of its memory is on another host."""

MIGRATED_AWAY: Final = ("stopped", "migrated")
"""The domain runs on another host; this closes all incidents."""

REBOOTED: Final = ("rebooted", "reset")
CRASHLOADED: Final = "crashed/crashloaded"
"""The guest's crash kernel runs and ends with a reboot; no other event follows."""

EXPLAINED_BY_KIND: Final[Mapping[str, str]] = MappingProxyType({HUNG: CRASHED})
"""Kind -> the kind whose open incident explains it: a guest that panicked does not answer probes."""

CAUSED_BY: Final[Mapping[Pair, str]] = MappingProxyType({("stopped", "crashed"): "hung/emulator"})
"""(event, reason) -> the cause of an open incident that explains it: hung domains get killed."""

DEFINITION_EVENTS: Final = frozenset({"defined", "undefined"})
"""Events about the definition of a domain belong to no incident."""


def apply(record: DomainRecord, change: Transition) -> tuple[str, list[Incident]]:
    """Return the id of the incident of ``change`` ("" if none), and the incidents it opened or closed."""
    kind = meaning_of(change).incident_kind
    if kind:
        return _apply_evidence(record, kind, change)
    if not record.incidents or change.event in DEFINITION_EVENTS:
        return "", []
    newest = next(reversed(record.incidents.values()))
    closed = [_close(record, one, change.at) for one in _resolved(record, change)]
    return (closed[-1] if closed else newest).id, closed


def close_all(record: DomainRecord, at: float) -> list[Incident]:
    """Close and return the open incidents of a removed domain."""
    return [_close(record, one, at) for one in list(record.incidents.values())]


def rename(record: DomainRecord, name: str) -> list[tuple[Incident, Incident]]:
    """Rename the open incidents of a domain; return each before and after."""
    renamed = [(one, one._replace(name=name)) for one in record.incidents.values() if one.name != name]
    record.incidents.update({new.kind: new for _, new in renamed})
    return renamed


def shift(records: Records, jump: float, kinds: Collection[str]) -> list[Incident]:
    """Adjust the beginning of open incidents to a jump of the wall clock, in seconds; return them."""
    shifted = []
    for record in records:
        for kind, one in record.incidents.items():
            if kind in kinds:
                record.incidents[kind] = one._replace(opened_at=one.opened_at + jump)
                shifted.append(record.incidents[kind])
    return shifted


def restore(records: Records, incidents: Iterable[Incident]) -> None:
    """Load the incidents that were open when the exporter ended."""
    for one in incidents:
        if one.closed_at is None:
            records.get(one.connection, one.uuid).incidents[one.kind] = one


def open_incidents(records: Records) -> list[Incident]:
    """Return the open incidents, those of one domain together."""
    return [one for record in records for one in record.incidents.values()]


def _apply_evidence(record: DomainRecord, kind: str, change: Transition) -> tuple[str, list[Incident]]:
    known = record.incidents.get(kind) or _explanation(record.incidents, kind, change)
    if known is not None:
        return known.id, []
    opened = record.incidents[kind] = _opened(change, kind)
    return opened.id, [opened]


def _resolved(record: DomainRecord, change: Transition) -> list[Incident]:
    return [one for one in record.incidents.values() if _is_resolved(record, one, change)]


def _is_resolved(record: DomainRecord, one: Incident, change: Transition) -> bool:
    pair = (change.event, change.reason)
    if pair == MIGRATED_AWAY:
        return True
    if pair == REBOOTED:
        return one.cause == CRASHLOADED
    if one.kind == HUNG and record.hung:
        # Pausing and resuming does not end a hang.
        return False
    if change.event == "recovered":
        return one.kind == HUNG
    return change.event in RUNNING_AGAIN and pair not in NOT_RUNNING_AGAIN


def _close(record: DomainRecord, one: Incident, at: float) -> Incident:
    del record.incidents[one.kind]
    # max(): the clock may have stepped back meanwhile.
    return one._replace(closed_at=max(at, one.opened_at))


def incident_id(connection: str, uuid: str, kind: str, opened_at: float) -> str:
    """Return the id: the same after a restart, another for the next incident."""
    return hashlib.sha256("\0".join((connection, uuid, kind, repr(opened_at))).encode()).hexdigest()[:16]


def _explanation(of_domain: Mapping[str, Incident], kind: str, change: Transition) -> Incident | None:
    ended = CAUSED_BY.get((change.event, change.reason))
    for one in of_domain.values():
        if one.kind == EXPLAINED_BY_KIND.get(kind) or one.cause == ended:
            return one
    return None


def _opened(change: Transition, kind: str) -> Incident:
    return Incident(
        incident_id(change.connection, change.uuid, kind, change.at),
        change.connection,
        change.uuid,
        change.name,
        kind,
        change.at,
        None,
        f"{change.event}/{change.reason}",
    )
