"""Conversion between values and rows of the tables, and the statements that write them."""

import json
from functools import lru_cache
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt, RunEvidence
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

TRANSITION = Transition._fields
INSERT_TRANSITION = (
    f"INSERT INTO transitions ({', '.join(TRANSITION)}) VALUES ({', '.join('?' * len(TRANSITION))})"  # noqa: S608 - constant names; values are parameters
)
TRACED = ("seq", *TRANSITION, "trace_id", "span_id")
INSERT_TRACED = f"INSERT INTO transitions ({', '.join(TRACED)}) VALUES ({', '.join('?' * len(TRACED))})"  # noqa: S608 - constant names; values are parameters
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
    f"INSERT OR REPLACE INTO domains ({', '.join(DOMAIN)}) VALUES ({', '.join('?' * len(DOMAIN))})"  # noqa: S608 - constant names; values are parameters
)


ADD_MESSAGE = (
    "UPDATE transitions SET message = ? WHERE seq > (SELECT max(seq) FROM transitions) - 5000 "  # noqa: S608 - constant names; values are parameters
    "AND connection = ? AND uuid = ? AND at >= ? AND message = '' AND (event, reason) IN "
    f"(VALUES {', '.join(f'({pair[0]!r}, {pair[1]!r})' for pair in sorted(EXPLAINED))})"
)
"""Adds a message to transitions. Evidence is found at most a few thousand transitions after the event."""
INCIDENT = Incident._fields
UPSERT_INCIDENT = (
    f"INSERT OR REPLACE INTO incidents ({', '.join(INCIDENT)}) VALUES ({', '.join('?' * len(INCIDENT))})"  # noqa: S608 - constant names; values are parameters
)

UPSERT_HOST = "INSERT OR REPLACE INTO hosts (connection, boot_id, rebooted_at) VALUES (?, ?, ?)"
UPSERT_SCOPE = "INSERT OR REPLACE INTO scopes (connection, include, exclude) VALUES (?, ?, ?)"
AGGREGATE = "INSERT OR IGNORE INTO aggregated_domains (connection, domain) VALUES (?, ?)"
SEPARATE = "DELETE FROM aggregated_domains WHERE connection = ? AND domain = ?"


def incident_row(incident: Incident) -> tuple[Any, ...]:
    """Return an incident as a row of ``incidents``."""
    return tuple(incident)


def incident_from(row: tuple[Any, ...]) -> Incident:
    """Return a row of ``incidents`` as an incident."""
    return Incident(*row)


def domain_row(domain: Domain) -> tuple[Any, ...]:
    """Return a domain as a row of ``domains``; the columns are those of ``DOMAIN``."""
    # Written out: this is on the path of every event.
    return (
        domain.connection,
        domain.uuid,
        domain.name,
        domain.state,
        domain.reason,
        domain.since,
        domain.confirmed,
        domain.domain_id,
        domain.persistent,
        domain.autostart,
        None if domain.details is None else _details_text(domain.details),
        domain.present,
        domain.removed_at,
        domain.run_id,
        *domain.run_evidence,
    )


def domain_from(row: tuple[Any, ...]) -> Domain:
    """Return a row of ``domains`` as a domain. Raises ValueError or TypeError for invalid details."""
    fields = dict(zip(DOMAIN, row, strict=True))
    for name in ("confirmed", "persistent", "autostart", "present"):
        fields[name] = None if fields[name] is None else bool(fields[name])
    if fields["details"] is not None:
        fields["details"] = _details_from(json.loads(fields["details"]))
    evidence = RunEvidence(*(fields.pop(name) for name in RunEvidence._fields))
    return Domain(**fields, run_evidence=evidence)


@lru_cache(maxsize=4096)
def _details_text(details: DomainDetails) -> str:
    """Return details as JSON. They rarely change, and every event of a domain writes them."""
    return json.dumps(_details_items(details))


def _details_items(details: DomainDetails) -> tuple[object, ...]:
    """Return three items if three suffice: older releases read no more than three."""
    if details.opennebula is None and details.ovirt is None:
        return details.type, details.title, details.nova
    return details


def _details_from(items: object) -> DomainDetails:
    """Return the details for the items that ``_details_items`` returned. Raises ValueError, TypeError."""
    if not isinstance(items, list):
        raise TypeError(f"details is {items!r:.60}")
    kind, title = _texts(items[:2])
    platforms = [None if item is None else _texts(item) for item in items[2:]]
    if len(platforms) == 1:
        platforms += [None, None]
    nova, opennebula, ovirt = platforms
    return DomainDetails(
        kind,
        title,
        None if nova is None else Nova(*nova),
        None if opennebula is None else OpenNebula(*opennebula),
        None if ovirt is None else Ovirt(*ovirt),
    )


def _texts(value: object) -> list[str]:
    """Return a list of strings that can be encoded as UTF-8; raise ValueError for anything else."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"details has {value!r:.60}")
    "".join(value).encode()
    return value


class Entry(NamedTuple):
    """One entry of the history: a transition and its number."""

    seq: int
    transition: Transition


def entry_from(row: tuple[Any, ...]) -> Entry:
    """Return a row of ``transitions``, with ``seq`` first, as an entry."""
    return Entry(row[0], Transition(*row[1:]))
