"""Retention: which rows are removed by age, and which by the size limit, one chunk at a time.

Under the size limit, history is removed last: first undeliverable rows, then rows pending for a signal that
is disabled, then closed incidents except the newest, then the oldest transitions. History that is still to be
delivered is never removed. Every function runs inside the caller's lock.
"""

import sqlite3
from collections.abc import Collection
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.span_operations import OPERATION_LIMIT
from libvirt_lifecycle_exporter.journal.export_items import LOGS, SIGNALS, TRACES

CHUNK: Final = 2000
"""Rows that one transaction removes."""
KEPT_INCIDENTS: Final = 1000
"""Newest closed incidents that the size limit does not remove before the history."""
_MAX_SEQ: Final = 2**63 - 1
_PENDING: Final = {LOGS: ("pending_logs", "position"), TRACES: ("pending_spans", "first_seq")}
"""Signal -> table, and the column with the first transition that a row needs."""


class Removed(NamedTuple):
    """Number of rows that one chunk removed."""

    rows: int = 0
    transitions: int = 0
    signal: str = ""
    """The signal whose queued rows were removed; "": none."""


def first_needed(database: sqlite3.Connection, signals: Collection[str], now: float, latest: float) -> int:
    """Return the number of the first transition that is still to be delivered.

    Operations that are open for much longer than their time limit are ignored. ``now``, ``latest``: the
    earliest and the latest that it may be; Unix time, seconds.
    """
    numbers = [_MAX_SEQ]
    for signal in signals:
        table, column = _PENDING[signal]
        numbers += database.execute(f"SELECT min({column}) FROM {table}").fetchone()  # noqa: S608 - our names
    if TRACES in signals:
        numbers += database.execute(
            "SELECT min(first_seq) FROM span_states WHERE open_since BETWEEN ? AND ?",
            (now - 2 * OPERATION_LIMIT, latest + 2 * OPERATION_LIMIT),
        ).fetchone()
    return min(number for number in numbers if number is not None)


def remove_old(database: sqlite3.Connection, before: float, latest: float, end: int) -> Removed:
    """Remove a chunk of rows from before a time (Unix time), transitions only up to number ``end``.

    No transition is removed that was written after one that is kept: its time stamp is from a wall clock that
    was behind. Time stamps after ``latest`` are from a wall clock that was ahead; they are ignored.
    """
    # "+": in the order of the numbers, from the oldest, instead of through the index.
    kept = database.execute(
        "SELECT seq FROM transitions WHERE +at BETWEEN ? AND ? ORDER BY seq LIMIT 1", (before, latest)
    ).fetchone()
    count = database.execute(
        "DELETE FROM transitions WHERE seq IN "
        "(SELECT seq FROM transitions WHERE at < ? AND seq < ? ORDER BY at LIMIT ?)",
        (before, min(end, *(kept or (_MAX_SEQ,))), CHUNK),
    ).rowcount
    if count:
        return Removed(count, count)
    return Removed(
        _remove_incidents(database, "closed_at < ?", before)
        or _remove_dead_letters(database, "failed_at < ?", before)
    )


def remove_orphans(database: sqlite3.Connection, disabled: Collection[str]) -> Removed:
    """Remove a chunk of rows pending for a disabled signal whose history is gone."""
    for signal in disabled:
        table, column = _PENDING[signal]
        count = database.execute(
            f"DELETE FROM {table} WHERE position IN (SELECT position FROM {table} WHERE {column} < "  # noqa: S608 - constant names; values are parameters
            f"coalesce((SELECT min(seq) FROM transitions), {_MAX_SEQ}) ORDER BY position LIMIT ?)",
            (CHUNK,),
        ).rowcount
        if count:
            return Removed(count, signal=signal)
    return Removed()


def remove_excess(database: sqlite3.Connection, disabled: Collection[str], end: int) -> Removed:
    """Remove a chunk of rows, the least important ones first."""
    count = _remove_dead_letters(database, "?", 1)
    if count:
        return Removed(count)
    for signal in disabled:
        table, _ = _PENDING[signal]
        count = database.execute(
            f"DELETE FROM {table} WHERE position IN (SELECT position FROM {table} ORDER BY position LIMIT ?)",  # noqa: S608 - constant names; values are parameters
            (CHUNK,),
        ).rowcount
        if count:
            return Removed(count, signal=signal)
    (closed,) = database.execute("SELECT count(*) FROM incidents WHERE closed_at IS NOT NULL").fetchone()
    if closed > KEPT_INCIDENTS:
        return Removed(_remove_incidents(database, "?", 1, min(CHUNK, closed - KEPT_INCIDENTS)))
    # The newest chunk is kept: the counters may be what exceeds the limit.
    count = database.execute(
        "DELETE FROM transitions "
        "WHERE seq < min(?, (SELECT seq FROM transitions ORDER BY seq LIMIT 1 OFFSET ?))",
        (end, CHUNK),
    ).rowcount
    return Removed(count, count)


def disabled(signals: Collection[str]) -> list[str]:
    """Return the signals that are not among those given."""
    return [signal for signal in SIGNALS if signal not in signals]


def _remove_incidents(database: sqlite3.Connection, condition: str, value: float, limit: int = CHUNK) -> int:
    return database.execute(
        "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents "  # noqa: S608 - conditions of our own
        f"WHERE closed_at IS NOT NULL AND {condition} ORDER BY closed_at LIMIT ?)",
        (value, limit),
    ).rowcount


def _remove_dead_letters(database: sqlite3.Connection, condition: str, value: float) -> int:
    return database.execute(
        "DELETE FROM dead_letters WHERE (signal, position) IN "  # noqa: S608 - conditions of our own
        f"(SELECT signal, position FROM dead_letters WHERE {condition} ORDER BY failed_at LIMIT ?)",
        (value, CHUNK),
    ).rowcount
