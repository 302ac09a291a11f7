"""What is done to the tables: a batch appended, everything replaced, everything read.

Law: all of it runs inside the caller's transaction. What SQLite can read and the exporter cannot
is corrupt too.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import Any

from libvirt_lifecycle_exporter.effects import Effects, HistoryBatch, Memory, Traced
from libvirt_lifecycle_exporter.filter import Scope
from libvirt_lifecycle_exporter.journal.extent import Extent
from libvirt_lifecycle_exporter.journal.rows import (
    DOMAIN,
    EXPLAIN,
    FOLD,
    INCIDENT,
    INSERT_TRACED,
    INSERT_TRANSITION,
    UNFOLD,
    UPSERT_DOMAIN,
    UPSERT_INCIDENT,
    UPSERT_SCOPE,
    domain_from,
    domain_row,
    incident_from,
    incident_row,
)

_DOMAIN_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **dict.fromkeys(DOMAIN, (str,)),
        **dict.fromkeys(("since", "removed_at"), (float,)),
        **dict.fromkeys(("confirmed", "domain_id", "present"), (int,)),
        **dict.fromkeys(("persistent", "autostart"), (int, NoneType)),
        "details": (str, NoneType),
    }
)
"""What SQLite may return for each column; it holds no column to its type."""
_INCIDENT_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {**dict.fromkeys(INCIDENT, (str,)), "opened_at": (float,), "closed_at": (float, NoneType)}
)
_COUNT_KINDS = MappingProxyType(
    {
        **dict.fromkeys(("connection", "name", "event", "reason"), (str,)),
        "count": (int,),
        "last": (float,),
    }
)
_TOTAL_KINDS = MappingProxyType(
    {**dict.fromkeys(("connection", "kind", "what", "reason"), (str,)), "count": (float,)}
)
_WATCH_KINDS = MappingProxyType({"connection": (str,), "watched_until": (float,)})
_SCOPE_KINDS = MappingProxyType(dict.fromkeys(("connection", "include", "exclude"), (str,)))
_FOLDED_KINDS = MappingProxyType({"connection": (str,), "name": (str,)})
_KINDS: Mapping[str, Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "counts": _COUNT_KINDS,
        "totals": _TOTAL_KINDS,
        "domains": _DOMAIN_KINDS,
        "incidents": _INCIDENT_KINDS,
        "watches": _WATCH_KINDS,
        "scopes": _SCOPE_KINDS,
        "folded": _FOLDED_KINDS,
    }
)


class NonsenseError(sqlite3.DatabaseError):
    """A row holds what was never written into it."""

    sqlite_errorname = "SQLITE_CORRUPT"


def write_history(
    database: sqlite3.Connection, batch: Effects | HistoryBatch, traced: Sequence[Traced] = ()
) -> None:
    """Write down what happened, and no counter. ``traced``: its transitions, if they are on spans."""
    if traced:
        database.executemany(
            INSERT_TRACED, [(one.number, *one.change, one.trace_id, one.span_id) for one in traced]
        )
    else:
        database.executemany(INSERT_TRANSITION, batch.transitions)
    database.executemany(
        EXPLAIN, [(words, connection, uuid, since) for connection, uuid, since, words in batch.messages]
    )
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in batch.incidents.values()])


def append(database: sqlite3.Connection, batch: Effects, traced: Sequence[Traced] = ()) -> None:
    """Write a batch down, and let the counters grow by it. ``traced`` as in ``write_history``."""
    write_history(database, batch, traced)
    database.executemany("DELETE FROM counts WHERE connection = ? AND name = ?", batch.expired)
    database.executemany(
        "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET count = count + excluded.count, last = excluded.last",
        [(*key, count, last) for key, (count, last) in batch.counts.items()],
    )
    for name, is_folded in batch.folded.items():
        database.execute(FOLD if is_folded else UNFOLD, name)
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in batch.totals.items()],
    )
    database.executemany(
        "DELETE FROM domains WHERE connection = ? AND uuid = ?",
        [(domain.connection, domain.uuid) for domain in batch.forgotten],
    )
    database.executemany(UPSERT_DOMAIN, [domain_row(domain) for domain in batch.domains.values()])
    database.executemany("INSERT OR REPLACE INTO watches VALUES (?, ?)", batch.watched_until.items())
    database.executemany(UPSERT_SCOPE, [(name, *scope) for name, scope in batch.scopes.items()])


def replace(database: sqlite3.Connection, state: Memory, extent: Extent, others: Memory) -> None:
    """Write everything but the history anew; incidents that are open no more are closed.

    What this run does not answer for stays as it is; ``others`` is what it was, should the file not have it.
    """
    for arguments in (1, 2):
        database.create_function("ours", arguments, extent.covers, deterministic=True)
    for table in ("counts", "folded"):
        database.execute(f"DELETE FROM {table} WHERE ours(connection, name)")  # noqa: S608 - names of our own
    for table in ("totals", "domains", "watches", "scopes"):
        database.execute(f"DELETE FROM {table} WHERE ours(connection)")  # noqa: S608 - as above
    database.execute(
        "UPDATE incidents SET closed_at = ? WHERE closed_at IS NULL AND ours(connection)", (time.time(),)
    )
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in state.incidents])
    for memory in (state, others):
        _fill(database, memory)
    # Domains that were forgotten while the journal could not be written.
    database.execute(
        "DELETE FROM trails WHERE since IS NULL AND (connection, uuid) NOT IN "
        "(SELECT connection, uuid FROM domains)"
    )


def _fill(database: sqlite3.Connection, memory: Memory) -> None:
    """Write down what is not there."""
    rows: dict[str, list[tuple[Any, ...]]] = {
        "counts": [(*key, count, last) for key, (count, last) in memory.counts.items()],
        "totals": [(*key, count) for key, count in memory.totals.items()],
        "domains": [domain_row(domain) for domain in memory.domains],
        "incidents": [incident_row(one) for one in memory.incidents],
        "watches": list(memory.watched_until.items()),
        "scopes": [(name, *scope) for name, scope in memory.scopes.items()],
        "folded": list(memory.folded),
    }
    for table, found in rows.items():
        columns = _KINDS[table]
        database.executemany(
            f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608
            found,
        )


def read(database: sqlite3.Connection) -> Memory:
    """Return everything but the history. Raises sqlite3.Error where it cannot be read."""
    try:
        return _read(database)
    except (TypeError, ValueError) as error:
        raise NonsenseError(str(error)) from error
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorname"):
            raise
        # The binding's own complaint: what should be text is none.
        raise NonsenseError(str(error)) from error


def _read(database: sqlite3.Connection) -> Memory:
    return Memory(
        {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in _rows(database, "counts")},
        {(row[0], row[1], row[2], row[3]): row[4] for row in _rows(database, "totals")},
        [domain_from(row) for row in _rows(database, "domains")],
        {row[0]: row[1] for row in _rows(database, "watches")},
        [incident_from(row) for row in _rows(database, "incidents", "WHERE closed_at IS NULL")],
        frozenset((row[0], row[1]) for row in _rows(database, "folded")),
        {row[0]: Scope(row[1], row[2]) for row in _rows(database, "scopes")},
    )


def _rows(database: sqlite3.Connection, table: str, which: str = "") -> Iterator[tuple[Any, ...]]:
    kinds = _KINDS[table]
    query = f"SELECT {', '.join(kinds)} FROM {table} {which}"  # noqa: S608 - names of our own
    for row in database.execute(query):
        for value, (column, kind) in zip(row, kinds.items(), strict=True):
            if not isinstance(value, kind):
                raise NonsenseError(f"{table}.{column} is {value!r:.40}")
        yield row
