"""What is asked of a history, and how SQL spells it. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_BEHIND: Final = "g"
"""Ids that begin alike are all before what begins so and goes on with this: they are hexadecimal."""

Passes = Callable[[str], bool]


class Selection(NamedTuple):
    """What is asked for; empty means everything."""

    passes: Passes | None = None
    """Whether a domain of this name is wanted."""
    among: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Column -> the words that are wanted in it."""
    since: float | None = None
    """Unix time, seconds; included."""
    until: float | None = None
    """Unix time, seconds; excluded."""
    incident: str = ""
    """Only what belongs to it: its id, or the beginning of that."""


def spelled(selection: Selection, *conditions: str) -> tuple[str, list[Any]]:
    """Spell a selection, and numbers of our own, as SQL."""
    found, values = list(conditions), list[Any]()
    if selection.incident:
        # "+": by the index of incidents, not by sequence number: they are a few of many.
        found = [*(f"+{one}" for one in found), "incident_id >= ?", "incident_id < ?"]
        values += [selection.incident, f"{selection.incident}{_BEHIND}"]
    for column, words in selection.among.items():
        if words:
            found.append(f"{column} IN ({', '.join('?' * len(words))})")
            values += words
    if selection.since is not None:
        # "+": by sequence number, not by the index of times, which would have to be sorted again.
        found.append("+at >= ?")
        values.append(selection.since)
    if selection.until is not None:
        found.append("+at < ?")
        values.append(selection.until)
    if selection.passes is not None:
        found.append("passes(name)")
    return (f"WHERE {' AND '.join(found)}" if found else ""), values
