"""Values to rows and back."""

import json
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.incidents import Incident
from libvirt_lifecycle_exporter.transition import DomainDetails, Nova, RunEvidence, Transition
from libvirt_lifecycle_exporter.vocabulary import EXPLAINED

TRANSITION = Transition._fields
INSERT_TRANSITION = (
    f"INSERT INTO transitions ({', '.join(TRANSITION)}) VALUES ({', '.join('?' * len(TRANSITION))})"  # noqa: S608
)
TRACED = ("seq", *TRANSITION, "trace_id", "span_id")
INSERT_TRACED = f"INSERT INTO transitions ({', '.join(TRACED)}) VALUES ({', '.join('?' * len(TRACED))})"  # noqa: S608
DOMAIN = (
    "connection",
    "uuid",
    "name",
    "state",
    "reason",
    "since",
    "confirmed",
    "domain_id",
    "persistent",
    "autostart",
    "details",
    "present",
    "removed_at",
    "run_id",
    *RunEvidence._fields,
)
UPSERT_DOMAIN = (
    f"INSERT OR REPLACE INTO domains ({', '.join(DOMAIN)}) VALUES ({', '.join('?' * len(DOMAIN))})"  # noqa: S608
)


EXPLAIN = (
    "UPDATE transitions SET message = ? WHERE seq > (SELECT max(seq) FROM transitions) - 5000 "  # noqa: S608
    "AND connection = ? AND uuid = ? AND at >= ? AND message = '' AND (event, reason) IN "
    f"(VALUES {', '.join(f'({pair[0]!r}, {pair[1]!r})' for pair in sorted(EXPLAINED))})"
)
"""Evidence comes after the fact, by at most a few thousand transitions."""
INCIDENT = Incident._fields
UPSERT_INCIDENT = (
    f"INSERT OR REPLACE INTO incidents ({', '.join(INCIDENT)}) VALUES ({', '.join('?' * len(INCIDENT))})"  # noqa: S608
)

UPSERT_HOST = "INSERT OR REPLACE INTO hosts (connection, boot_id, rebooted_at) VALUES (?, ?, ?)"
UPSERT_SCOPE = "INSERT OR REPLACE INTO scopes (connection, include, exclude) VALUES (?, ?, ?)"
FOLD = "INSERT OR IGNORE INTO folded (connection, name) VALUES (?, ?)"
UNFOLD = "DELETE FROM folded WHERE connection = ? AND name = ?"


def incident_row(incident: Incident) -> tuple[Any, ...]:
    """Spell an incident as a row of ``incidents``."""
    return tuple(incident)


def incident_from(row: tuple[Any, ...]) -> Incident:
    """Read a row of ``incidents``."""
    return Incident(*row)


def domain_row(domain: Domain) -> tuple[Any, ...]:
    """Spell a domain as a row of ``domains``."""
    evidence = domain.run_evidence._asdict()
    fields = {name: evidence[name] if name in evidence else getattr(domain, name) for name in DOMAIN}
    details = domain.details
    if details is not None:
        fields["details"] = json.dumps([details.type, details.title, details.nova])
    return tuple(fields.values())


def domain_from(row: tuple[Any, ...]) -> Domain:
    """Read a row of ``domains``. Raises ValueError or TypeError for details that mean nothing."""
    fields = dict(zip(DOMAIN, row, strict=True))
    for name in ("confirmed", "persistent", "autostart", "present"):
        fields[name] = None if fields[name] is None else bool(fields[name])
    if fields["details"] is not None:
        kind, title, nova = json.loads(fields["details"])
        if not all(isinstance(word, str) for word in (kind, title, *(nova or ()))):
            raise ValueError(f"details is {fields['details']!r:.60}")
        fields["details"] = DomainDetails(kind, title, None if nova is None else Nova(*nova))
    evidence = RunEvidence(*(fields.pop(name) for name in RunEvidence._fields))
    return Domain(**fields, run_evidence=evidence)


class Entry(NamedTuple):
    """One line of the history: a transition and its number."""

    seq: int
    transition: Transition


def entry_from(row: tuple[Any, ...]) -> Entry:
    """Read a row of ``transitions``, the sequence first."""
    return Entry(row[0], Transition(*row[1:]))
