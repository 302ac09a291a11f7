"""What is done to the tables: a batch appended, everything replaced, everything read.

Law: all of it runs inside the caller's transaction. What SQLite can read and the exporter cannot
is corrupt too.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType, NoneType
from typing import Any

from libvirt_lifecycle_exporter.effects import Effects, Memory
from libvirt_lifecycle_exporter.journal.rows import (
    DOMAIN,
    EXPLAIN,
    FOLD,
    INCIDENT,
    INSERT_TRANSITION,
    UNFOLD,
    UPSERT_DOMAIN,
    UPSERT_INCIDENT,
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
_FOLDED_KINDS = MappingProxyType({"connection": (str,), "name": (str,)})


class NonsenseError(sqlite3.DatabaseError):
    """A row holds what was never written into it."""

    sqlite_errorname = "SQLITE_CORRUPT"


def write_history(database: sqlite3.Connection, batch: Effects) -> None:
    """Write down what happened, and no counter."""
    database.executemany(INSERT_TRANSITION, batch.transitions)
    database.executemany(
        EXPLAIN, [(words, connection, uuid, since) for connection, uuid, since, words in batch.messages]
    )
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in batch.incidents.values()])


def append(database: sqlite3.Connection, batch: Effects) -> None:
    """Write a batch down, and let the counters grow by it."""
    write_history(database, batch)
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
    database.executemany(UPSERT_DOMAIN, [domain_row(domain) for domain in batch.domains.values()])
    database.executemany(
        "DELETE FROM domains WHERE connection = ? AND uuid = ?",
        [(domain.connection, domain.uuid) for domain in batch.forgotten],
    )
    database.executemany("INSERT OR REPLACE INTO watches VALUES (?, ?)", batch.watched_until.items())


def replace(database: sqlite3.Connection, state: Memory) -> None:
    """Write everything but the history anew; incidents that are open no more are closed."""
    for table in ("counts", "totals", "domains", "watches", "folded"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
    database.executemany(
        "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?)",
        [(*key, count, last) for key, (count, last) in state.counts.items()],
    )
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?)", [(*key, count) for key, count in state.totals.items()]
    )
    database.executemany(UPSERT_DOMAIN, [domain_row(domain) for domain in state.domains])
    database.executemany("INSERT INTO watches VALUES (?, ?)", state.watched_until.items())
    database.executemany(FOLD, state.folded)
    database.execute("UPDATE incidents SET closed_at = ? WHERE closed_at IS NULL", (time.time(),))
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in state.incidents])


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
        {
            (row[0], row[1], row[2], row[3]): (row[4], row[5])
            for row in _rows(database, "counts", _COUNT_KINDS)
        },
        {(row[0], row[1], row[2], row[3]): row[4] for row in _rows(database, "totals", _TOTAL_KINDS)},
        [domain_from(row) for row in _rows(database, "domains", _DOMAIN_KINDS)],
        {row[0]: row[1] for row in _rows(database, "watches", _WATCH_KINDS)},
        [
            incident_from(row)
            for row in _rows(database, "incidents", _INCIDENT_KINDS, "WHERE closed_at IS NULL")
        ],
        frozenset((row[0], row[1]) for row in _rows(database, "folded", _FOLDED_KINDS)),
    )


def _rows(
    database: sqlite3.Connection, table: str, kinds: Mapping[str, tuple[type, ...]], which: str = ""
) -> Iterator[tuple[Any, ...]]:
    query = f"SELECT {', '.join(kinds)} FROM {table} {which}"  # noqa: S608 - names of our own
    for row in database.execute(query):
        for value, (column, kind) in zip(row, kinds.items(), strict=True):
            if not isinstance(value, kind):
                raise NonsenseError(f"{table}.{column} is {value!r:.40}")
        yield row
