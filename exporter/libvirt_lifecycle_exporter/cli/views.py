"""Columns and fields of transitions and incidents. Pure functions.

A record (JSON, CSV) has all fields. A table row leaves out what is usual, such as the source ``callback``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from libvirt_lifecycle_exporter.cli.formatting import format_duration, format_local, format_utc, one_line
from libvirt_lifecycle_exporter.journal.rows import INCIDENT, TRANSITION, Entry
from libvirt_lifecycle_exporter.model.severity import Severity, meaning_of
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

Item = TypeVar("Item")

_ID_LENGTH = 8
"""Characters of an incident id in a table."""


class Column(NamedTuple):
    """A column of the table."""

    title: str
    min_width: int
    """Width in characters if its cells are narrower."""
    is_shrinkable: bool = False
    """Whether it is made narrower than its cells if the table is wider than the terminal."""


class View(NamedTuple, Generic[Item]):
    """How items of one type are written."""

    fields: tuple[str, ...]
    record: Callable[[Item], Mapping[str, Any]]
    columns: tuple[Column, ...]
    cells: Callable[[Item], tuple[str, ...]]
    highlighted: tuple[str, ...]
    """Titles of the columns that are red if ``is_highlighted`` returns True for the item."""
    is_highlighted: Callable[[Item], bool]


def entries(*, connections: bool) -> View[Entry]:
    """Return the view of transitions. ``connections``: whether the table has a column CONNECTION."""
    return View(
        ("seq", "time", *TRANSITION),
        _entry_record,
        (
            Column("TIME", 19),
            *_connection(shown=connections),
            Column("DOMAIN", 12, is_shrinkable=True),
            Column("EVENT", 9),
            Column("REASON", 10),
            Column("INCIDENT", _ID_LENGTH),
            Column("NOTE", 16),
        ),
        lambda entry: _entry_cells(entry, connections=connections),
        ("EVENT", "REASON"),
        lambda entry: is_failure(entry.transition),
    )


def incidents(now: float, *, connections: bool) -> View[Incident]:
    """Return the view of incidents. ``now``: Unix time in seconds, the end of open incidents."""
    return View(
        (*INCIDENT, "opened", "closed", "duration"),
        lambda incident: _incident_record(incident, now),
        (
            Column("OPENED", 19),
            Column("CLOSED", 19),
            Column("DURATION", 8),
            Column("KIND", 8),
            *_connection(shown=connections),
            Column("DOMAIN", 12, is_shrinkable=True),
            Column("INCIDENT", _ID_LENGTH),
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
    """Return the text of the column NOTE: libvirt's own detail, the source and the message, where unusual."""
    parts = []
    if change.detail not in ("", change.reason):
        parts.append(f"libvirt: {change.detail}")
    if change.source != "callback":
        parts.append(f"source: {change.source}")
    if change.message:
        parts.append(change.message)
    return one_line("; ".join(parts))


def _connection(*, shown: bool) -> tuple[Column, ...]:
    return (Column("CONNECTION", 10, is_shrinkable=True),) if shown else ()


def _entry_record(entry: Entry) -> dict[str, Any]:
    return {"seq": entry.seq, "time": format_utc(entry.transition.at), **entry.transition._asdict()}


def _entry_cells(entry: Entry, *, connections: bool) -> tuple[str, ...]:
    change = entry.transition
    return (
        format_local(change.at),
        *([change.connection] if connections else []),
        change.name,
        change.event,
        change.reason,
        change.incident_id[:_ID_LENGTH],
        note(change),
    )


def _incident_record(incident: Incident, now: float) -> dict[str, Any]:
    closed = incident.closed_at
    return {
        **incident._asdict(),
        "opened": format_utc(incident.opened_at),
        "closed": None if closed is None else format_utc(closed),
        "duration": _duration(incident, now),
    }


def _incident_cells(incident: Incident, now: float, *, connections: bool) -> tuple[str, ...]:
    return (
        format_local(incident.opened_at),
        "open" if incident.closed_at is None else format_local(incident.closed_at),
        format_duration(_duration(incident, now)),
        incident.kind,
        *([incident.connection] if connections else []),
        incident.name,
        incident.id[:_ID_LENGTH],
        incident.cause,
    )


def _duration(incident: Incident, now: float) -> float:
    end = now if incident.closed_at is None else incident.closed_at
    return max(0.0, end - incident.opened_at)
