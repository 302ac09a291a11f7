"""Operations on all tables: append a batch, replace the state, read the state.

Every function runs inside the transaction of the caller. DamagedRow rows are skipped, see ``damage``.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType, NoneType
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HistoryBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.incidents import KINDS
from libvirt_lifecycle_exporter.engine.saved_state import INCIDENT as COUNTED_INCIDENT
from libvirt_lifecycle_exporter.engine.saved_state import TOTAL_KINDS, HostRecord, SavedState
from libvirt_lifecycle_exporter.journal.damage import (
    INCIDENT_KINDS,
    DamagedRow,
    describe_problem,
    is_exact,
    text_or_bytes,
)
from libvirt_lifecycle_exporter.journal.rows import (
    ADD_MESSAGE,
    AGGREGATE,
    DOMAIN,
    INSERT_TRACED,
    INSERT_TRANSITION,
    SEPARATE,
    UPSERT_DOMAIN,
    UPSERT_HOST,
    UPSERT_INCIDENT,
    UPSERT_SCOPE,
    domain_from,
    domain_row,
    incident_from,
    incident_row,
)
from libvirt_lifecycle_exporter.journal.run_scope import RunScope
from libvirt_lifecycle_exporter.journal.transaction import Execute, execute_many
from libvirt_lifecycle_exporter.model.domain_filter import Scope
from libvirt_lifecycle_exporter.model.messages import RunEvidence
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord

_DOMAIN_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **dict.fromkeys(DOMAIN, (str,)),
        **dict.fromkeys(("since", "removed_at"), (float,)),
        **dict.fromkeys(("confirmed", "domain_id", "present", *RunEvidence._fields), (int,)),
        **dict.fromkeys(("persistent", "autostart"), (int, NoneType)),
        "details": (str, NoneType),
    }
)
"""Column -> valid types; SQLite does not enforce column types."""
_COUNT_KINDS = MappingProxyType(
    {
        **dict.fromkeys(("connection", "domain", "event", "reason"), (str,)),
        "value": (int,),
        "last_at": (float,),
    }
)
_TOTAL_KINDS = MappingProxyType(
    {**dict.fromkeys(("connection", "kind", "label_1", "label_2"), (str,)), "value": (float,)}
)
_COVERAGE_KINDS = MappingProxyType({"connection": (str,), "observed_until": (float,)})
_SCOPE_KINDS = MappingProxyType(dict.fromkeys(("connection", "include", "exclude"), (str,)))
_AGGREGATED_KINDS = MappingProxyType({"connection": (str,), "domain": (str,)})
_HOST_KINDS = MappingProxyType({"connection": (str,), "boot_id": (str,), "rebooted_at": (float,)})
_CLOCK_KINDS = MappingProxyType({**dict.fromkeys(ClockRecord._fields, (float,)), "boot_id": (str,)})
_KINDS: Mapping[str, Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "domain_counters": _COUNT_KINDS,
        "connection_counters": _TOTAL_KINDS,
        "domains": _DOMAIN_KINDS,
        "incidents": INCIDENT_KINDS,
        "connection_coverage": _COVERAGE_KINDS,
        "scopes": _SCOPE_KINDS,
        "aggregated_domains": _AGGREGATED_KINDS,
        "hosts": _HOST_KINDS,
        "clock": _CLOCK_KINDS,
    }
)


_COUNTERS = frozenset({"domain_counters", "connection_counters"})
_NAMED = frozenset({"domain_counters", "aggregated_domains"})
"""Tables whose first columns are connection and domain name."""


def write_history(
    database: sqlite3.Connection,
    batch: ChangeBatch | HistoryBatch,
    traced: Sequence[TracedTransition] = (),
    execute: Execute = execute_many,
) -> None:
    """Write transitions, messages and incidents. ``traced``: the transitions with their spans."""
    if traced:
        execute(database, INSERT_TRACED, traced, lambda one: (one[0], *one.change, *one[2:]))
    else:
        execute(database, INSERT_TRANSITION, batch.transitions, tuple)
    execute(database, ADD_MESSAGE, batch.messages, lambda one: (one[3], *one[:3]))
    execute(database, UPSERT_INCIDENT, batch.incidents.values(), incident_row)


def append(
    database: sqlite3.Connection,
    batch: ChangeBatch,
    traced: Sequence[TracedTransition] = (),
    execute: Execute = execute_many,
) -> None:
    """Write a batch: history, counters and states. ``traced`` as in ``write_history``."""
    write_history(database, batch, traced, execute)
    execute(database, "DELETE FROM domain_counters WHERE connection = ? AND domain = ?", batch.expired, tuple)
    execute(
        database,
        "INSERT INTO domain_counters VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET value = value + excluded.value, last_at = excluded.last_at",
        batch.counts.items(),
        lambda item: (*item[0], *item[1]),
    )
    for name, is_aggregated in batch.aggregated.items():
        execute(database, AGGREGATE if is_aggregated else SEPARATE, [name], tuple)
    execute(
        database,
        "INSERT INTO connection_counters VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET value = value + excluded.value",
        batch.totals.items(),
        lambda item: (*item[0], item[1]),
    )
    execute(
        database,
        "DELETE FROM domains WHERE connection = ? AND uuid = ?",
        batch.forgotten,
        lambda domain: (domain.connection, domain.uuid),
    )
    execute(database, UPSERT_DOMAIN, batch.domains.values(), domain_row)
    execute(
        database,
        "INSERT OR REPLACE INTO connection_coverage VALUES (?, ?)",
        batch.observed_until.items(),
        tuple,
    )
    execute(database, UPSERT_SCOPE, batch.scopes.items(), lambda item: (item[0], *item[1]))
    execute(database, UPSERT_HOST, batch.hosts.items(), lambda item: (item[0], *item[1]))
    if batch.clock is not None:
        database.execute("DELETE FROM clock")
        execute(database, "INSERT INTO clock VALUES (?, ?, ?, ?)", [batch.clock], tuple)


def replace(
    database: sqlite3.Connection,
    state: SavedState,
    run_scope: RunScope,
    others: SavedState,
    execute: Execute = execute_many,
) -> None:
    """Replace all tables but the history with a state; close incidents that are open in the file only.

    Rows outside of the run scope are kept. ``others``: these rows, in case that the file is new.
    """
    for table, columns in _KINDS.items():
        database.create_function(
            f"is_replaced_{table}", -1, partial(_is_replaced, run_scope, table), deterministic=True
        )
        # Text is passed as BLOB with its type: SQLite fails to convert text that is not UTF-8.
        typed = ", ".join(
            f"typeof({one}), CASE typeof({one}) WHEN 'text' THEN CAST({one} AS BLOB) ELSE {one} END"
            for one in columns
        )
        if table == "incidents":
            close = (
                f"UPDATE incidents SET closed_at = ? WHERE closed_at IS NULL AND is_replaced_{table}({typed})"  # noqa: S608 - constant names; values are parameters
            )
            database.execute(close, (time.time(),))
        else:
            database.execute(f"DELETE FROM {table} WHERE is_replaced_{table}({typed})")  # noqa: S608 - own names
    execute(database, UPSERT_INCIDENT, state.incidents, incident_row)
    for part in (state, others):
        _insert_missing(database, part, execute)
    # Span states of domains that were removed while the journal was unavailable.
    database.execute(
        "DELETE FROM span_states WHERE open_since IS NULL AND (connection, uuid) NOT IN "
        "(SELECT connection, uuid FROM domains)"
    )


def _is_replaced(run_scope: RunScope, table: str, *typed: Any) -> bool:  # noqa: ANN401 - as SQLite has it
    """Return whether a row, given as types and values, is in the run scope or damaged."""
    row = tuple(
        text_or_bytes(value) if kind == "text" else value
        for kind, value in zip(typed[::2], typed[1::2], strict=True)
    )
    names = row[:2] if table in _NAMED else (row[0] if table != "incidents" else row[1],)
    return table == "clock" or bool(describe_damage(table, row)) or run_scope.covers(*map(str, names))


def _insert_missing(database: sqlite3.Connection, state: SavedState, execute: Execute) -> None:
    """Insert rows whose keys are not in the tables."""
    rows: dict[str, tuple[Iterable[Any], Callable[[Any], Sequence[Any]]]] = {
        "domain_counters": (state.counts.items(), lambda item: (*item[0], *item[1])),
        "connection_counters": (state.totals.items(), lambda item: (*item[0], item[1])),
        "domains": (state.domains, domain_row),
        "incidents": (state.incidents, incident_row),
        "connection_coverage": (state.observed_until.items(), tuple),
        "scopes": (state.scopes.items(), lambda item: (item[0], *item[1])),
        "aggregated_domains": (state.aggregated, tuple),
        "hosts": (state.hosts.items(), lambda item: (item[0], *item[1])),
        "clock": ([state.clock] if state.clock is not None else [], tuple),
    }
    for table, (items, values) in rows.items():
        columns = _KINDS[table]
        execute(
            database,
            f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 - constant names; values are parameters
            items,
            values,
        )


def read(database: sqlite3.Connection, damaged: list[DamagedRow]) -> SavedState:
    """Return the state: all tables but the history. Raises sqlite3.Error if they cannot be read.

    DamagedRow rows are skipped and added to ``damaged``.
    """
    reader = _Reader(database, damaged)
    return SavedState(
        {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in reader.rows("domain_counters")},
        {(row[0], row[1], row[2], row[3]): row[4] for row in reader.rows("connection_counters")},
        [domain_from(row) for row in reader.rows("domains")],
        {row[0]: row[1] for row in reader.rows("connection_coverage")},
        [incident_from(row) for row in reader.rows("incidents", "WHERE closed_at IS NULL")],
        frozenset((row[0], row[1]) for row in reader.rows("aggregated_domains")),
        {row[0]: Scope(row[1], row[2]) for row in reader.rows("scopes")},
        {row[0]: HostRecord(row[1], row[2]) for row in reader.rows("hosts")},
        next((ClockRecord(*row) for row in [*reader.rows("clock")]), None),
    )


class _Reader:
    """Reads tables and skips damaged rows."""

    def __init__(self, database: sqlite3.Connection, damaged: list[DamagedRow]) -> None:
        self._database = database
        self._damaged = damaged

    def rows(self, table: str, which: str = "") -> Iterator[tuple[Any, ...]]:
        query = f"SELECT {', '.join(_KINDS[table])} FROM {table} {which}"  # noqa: S608 - names of our own
        for row in self._database.execute(query):
            problem = describe_damage(table, row)
            if problem:
                self._damaged.append(DamagedRow(table, f"{problem} in {row!r:.300}"))
            else:
                yield row


def describe_damage(table: str, row: tuple[Any, ...]) -> str:
    """Return a description of the damage of a row; "" if the row is valid."""
    return describe_problem(row, _KINDS[table]) or _describe_invalid_value(table, row)


def _describe_invalid_value(table: str, row: tuple[Any, ...]) -> str:
    """Return a description of an invalid value in a row with valid types; "" if there is none."""
    if table == "connection_counters" and row[1] not in TOTAL_KINDS:
        return f"kind is {row[1]!r:.60}"
    if table == "domains":
        try:
            domain_from(row)
        except (TypeError, ValueError) as error:
            return f"details: {error}"
    if table in _COUNTERS and not (row[4] >= 0 and is_exact(row[4])):
        return f"value is {row[4]!r:.60}"
    if table == "incidents" and row[4] not in KINDS:
        return f"kind is {row[4]!r:.60}"
    if table == "domain_counters" and row[2] == COUNTED_INCIDENT and row[3] not in KINDS:
        return f"reason is {row[3]!r:.60}"
    return ""
