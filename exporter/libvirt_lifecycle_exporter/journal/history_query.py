"""Selection of history, and its translation to SQL. Pure functions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_AFTER_HEX: Final = "g"
"""Sorts after every hexadecimal digit: an upper bound for all ids with a common beginning."""

NamePredicate = Callable[[str], bool]


class Selection(NamedTuple):
    """Which entries are wanted. The default selects everything."""

    matches_name: NamePredicate | None = None
    """Whether a domain name is wanted; None: all of them."""
    columns: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Column -> the values that are wanted; an empty tuple: all of them."""
    since: float | None = None
    """Unix time in seconds, included."""
    until: float | None = None
    """Unix time in seconds, excluded."""
    incident: str = ""
    """Id of an incident, or its beginning: only entries that belong to it."""


def to_sql(selection: Selection, *conditions: str) -> tuple[str, list[Any]]:
    """Return the WHERE clause and its parameters. ``conditions``: further SQL, without parameters."""
    clauses, values = list(conditions), list[Any]()
    if selection.incident:
        # "+" disables the index on seq: the index on incident_id selects far fewer rows.
        clauses = [*(f"+{clause}" for clause in clauses), "incident_id >= ?", "incident_id < ?"]
        # The index has no entries without an incident, and is used only if the query excludes them.
        clauses.append("incident_id <> ''")
        values += [selection.incident, f"{selection.incident}{_AFTER_HEX}"]
    for column, words in selection.columns.items():
        if words:
            clauses.append(f"{column} IN ({', '.join('?' * len(words))})")
            values += words
    if selection.since is not None:
        # "+" disables the index on at: its result would have to be sorted by seq.
        clauses.append("+at >= ?")
        values.append(selection.since)
    if selection.until is not None:
        clauses.append("+at < ?")
        values.append(selection.until)
    if selection.matches_name is not None:
        clauses.append("matches_name(name)")
    return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), values
