"""DamagedRow rows: values that the exporter never wrote, in a file that SQLite itself can read.

A damaged row is skipped when the tables are read, and the worker then rewrites the tables from memory. Only
the content of that row is lost. Text that is not UTF-8 is returned as bytes (see ``text_or_bytes``), so that
one value does not make the whole table unreadable.
"""

import logging
import math
import sqlite3
from collections.abc import Mapping
from types import MappingProxyType, NoneType
from typing import Any, Final, NamedTuple

from libvirt_lifecycle_exporter.engine.spans import Span
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

log = logging.getLogger(__name__)

LARGEST: Final = 2**53
"""Larger integers are not exact in a double; the exporter never writes such a number."""
_MAX_LOG_LINES: Final = 50
"""Number of damaged rows that are logged one by one."""
TRANSITION_KINDS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(Transition._fields, (str,)),
        "at": (float,),
        "domain_id": (int,),
        "detail_code": (int,),
    }
)
"""Valid types of each column of ``transitions``; SQLite does not enforce column types."""
INCIDENT_KINDS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {**dict.fromkeys(Incident._fields, (str,)), "opened_at": (float,), "closed_at": (float, NoneType)}
)
_REFERENCE: Final = (32, 16)
"""Hexadecimal digits of a trace id and of a span id."""


class DamagedRow(NamedTuple):
    """A damaged row."""

    table: str
    problem: str


def text_or_bytes(value: bytes) -> str | bytes:
    """Decode text; return the bytes where they are not UTF-8. For ``Connection.text_factory``."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def describe_problem(row: tuple[Any, ...], kinds: Mapping[str, tuple[type, ...]]) -> str:
    """Return the first value with an invalid type or value as ``column is value``; "" if there is none."""
    for value, (column, kind) in zip(row, kinds.items(), strict=True):
        if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
            return f"{column} is {value!r:.60}"
    return ""


def check_span(span: Span) -> None:
    """Raise ValueError if a span that was read from JSON has values of the wrong type."""
    are_links_valid = all(
        _is_reference(link.ref) and all(isinstance(one, str) for one in link.relations) for link in span.links
    )
    numbers = (span.began, span.ended, *span.rows, *(() if span.duration is None else (span.duration,)))
    are_numbers_valid = all(
        type(one) is int or (type(one) is float and math.isfinite(one)) for one in numbers
    )
    are_rows_valid = all(isinstance(row, int) for row in (span.number, *span.rows))
    are_texts_valid = isinstance(span.name, str) and isinstance(span.outcome, str)
    if not (
        _is_reference(span.ref)
        and are_links_valid
        and are_numbers_valid
        and are_rows_valid
        and are_texts_valid
    ):
        raise ValueError("a value has the wrong type")


def repair(database: sqlite3.Connection) -> list[DamagedRow]:
    """Repair the identity and the sequence number of the journal; return the damaged rows."""
    found = []
    rows = database.execute("SELECT id FROM identity").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], str) or not rows[0][0]:
        found.append(DamagedRow("identity", f"{len(rows)} rows: {rows!r:.60}"))
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM identity")
        database.execute("INSERT INTO identity VALUES (lower(hex(randomblob(16))))")
        database.execute("COMMIT")
    newest = database.execute("SELECT max(seq) FROM transitions").fetchone()[0] or 0
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'transitions'").fetchone()
    last = row[0] if row else newest
    if not isinstance(last, int) or not newest <= last <= LARGEST:
        found.append(DamagedRow("sqlite_sequence", f"seq is {last!r:.60}"))
        database.execute("BEGIN IMMEDIATE")
        # After the largest possible number SQLite rejects every further row.
        database.execute("DELETE FROM transitions WHERE seq > ?", (LARGEST,))
        database.execute(
            "UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(seq), 0) FROM transitions) "
            "WHERE name = 'transitions'"
        )
        database.execute("COMMIT")
    return found


def report(damaged: list[DamagedRow]) -> None:
    """Log damaged rows that are discarded."""
    for one in damaged[:_MAX_LOG_LINES]:
        log.error("damaged journal row discarded", extra={"table": one.table, "problem": one.problem})
    if len(damaged) > _MAX_LOG_LINES:
        log.error("more damaged journal rows discarded", extra={"rows": len(damaged) - _MAX_LOG_LINES})


def is_exact(value: float) -> bool:
    """Return whether a number is finite and small enough to be exact in a double."""
    return math.isfinite(value) and abs(value) <= LARGEST


def _is_reference(value: tuple[object, ...]) -> bool:
    return len(value) == len(_REFERENCE) and all(
        isinstance(part, str) and len(part) == digits and set(part) <= set("0123456789abcdef")
        for part, digits in zip(value, _REFERENCE, strict=True)
    )
