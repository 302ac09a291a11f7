"""What is shown of an entry and of an incident: as a record for machines, as a row for people. Pure.

Law: a record has all fields; a row has what differs from the usual.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from libvirt_lifecycle_exporter.cli.formatting import lasting, local, one_line, utc
from libvirt_lifecycle_exporter.engine.incidents import Incident
from libvirt_lifecycle_exporter.journal.rows import INCIDENT, TRANSITION, Entry
from libvirt_lifecycle_exporter.model.severity import Severity, meaning_of
from libvirt_lifecycle_exporter.model.transitions import Transition

Shown = TypeVar("Shown")

_SHORT = 8
"""Characters of an incident's id that tell it from others on one screen."""


class Column(NamedTuple):
    """A column of the table."""

    title: str
    least: int
    """Its width if nothing wide stands in it."""
    gives: bool = False
    """Whether it is made narrower where there is no room."""


class View(NamedTuple, Generic[Shown]):
    """How one kind of thing is shown."""

    fields: tuple[str, ...]
    record: Callable[[Shown], Mapping[str, Any]]
    columns: tuple[Column, ...]
    cells: Callable[[Shown], tuple[str, ...]]
    marked: tuple[str, ...]
    """Titles of the columns that are red in a bad row."""
    bad: Callable[[Shown], bool]


def entries(*, connections: bool) -> View[Entry]:
    """Transitions; ``connections``: whether the table says of which."""
    return View(
        ("seq", "time", *TRANSITION),
        _entry_record,
        (
            Column("TIME", 19),
            *_connection(shown=connections),
            Column("DOMAIN", 12, gives=True),
            Column("EVENT", 9),
            Column("REASON", 10),
            Column("INCIDENT", _SHORT),
            Column("NOTE", 16),
        ),
        lambda entry: _entry_cells(entry, connections=connections),
        ("EVENT", "REASON"),
        lambda entry: is_failure(entry.transition),
    )


def incidents(now: float, *, connections: bool) -> View[Incident]:
    """Incidents, as they stand ``now``."""
    return View(
        (*INCIDENT, "opened", "closed", "duration"),
        lambda incident: _incident_record(incident, now),
        (
            Column("OPENED", 19),
            Column("CLOSED", 19),
            Column("DURATION", 8),
            Column("KIND", 8),
            *_connection(shown=connections),
            Column("DOMAIN", 12, gives=True),
            Column("INCIDENT", _SHORT),
            Column("CAUSE", 20),
        ),
        lambda incident: _incident_cells(incident, now, connections=connections),
        ("CLOSED", "DURATION", "KIND"),
        lambda incident: incident.closed_at is None,
    )


def is_failure(change: Transition) -> bool:
    """Return whether a transition is a warning or an error."""
    return meaning_of(change).severity >= Severity.WARNING


def note(change: Transition) -> str:
    """What is to be said beside event and reason."""
    parts = []
    if change.detail not in ("", change.reason):
        parts.append(f"libvirt: {change.detail}")
    if change.source != "callback":
        parts.append(f"source: {change.source}")
    if change.message:
        parts.append(change.message)
    return one_line("; ".join(parts))


def _connection(*, shown: bool) -> tuple[Column, ...]:
    return (Column("CONNECTION", 10, gives=True),) if shown else ()


def _entry_record(entry: Entry) -> dict[str, Any]:
    return {"seq": entry.seq, "time": utc(entry.transition.at), **entry.transition._asdict()}


def _entry_cells(entry: Entry, *, connections: bool) -> tuple[str, ...]:
    change = entry.transition
    return (
        local(change.at),
        *([change.connection] if connections else []),
        change.name,
        change.event,
        change.reason,
        change.incident_id[:_SHORT],
        note(change),
    )


def _incident_record(incident: Incident, now: float) -> dict[str, Any]:
    closed = incident.closed_at
    return {
        **incident._asdict(),
        "opened": utc(incident.opened_at),
        "closed": None if closed is None else utc(closed),
        "duration": _duration(incident, now),
    }


def _incident_cells(incident: Incident, now: float, *, connections: bool) -> tuple[str, ...]:
    return (
        local(incident.opened_at),
        "open" if incident.closed_at is None else local(incident.closed_at),
        lasting(_duration(incident, now)),
        incident.kind,
        *([incident.connection] if connections else []),
        incident.name,
        incident.id[:_SHORT],
        incident.cause,
    )


def _duration(incident: Incident, now: float) -> float:
    end = now if incident.closed_at is None else incident.closed_at
    return max(0.0, end - incident.opened_at)
