"""Says, as transitions are appended, on which span each is, and what is to be delivered.

Law: all of it runs inside the transaction that appends, and nothing is remembered outside of the file. So a
row and its ids come together, and a batch that was rolled back left nothing behind.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HistoryBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.span_operations import LIMIT
from libvirt_lifecycle_exporter.engine.spans import (
    NOTHING,
    Ids,
    Link,
    Moment,
    Open,
    Ref,
    Span,
    Step,
    Trail,
    expire,
    place,
)
from libvirt_lifecycle_exporter.journal.damage import check_span
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, WORKER, ThreadRegistry

Key = tuple[str, str]
"""connection, uuid"""

_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=dict).encode
_NONE: frozenset[str] = frozenset()
_LAST = """SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'transitions'), 0),
    (SELECT id FROM identity)"""
_TRAIL = "SELECT state FROM span_states WHERE uuid = ? AND connection = ?"
_PEERS = "SELECT state FROM span_states WHERE uuid = ? AND connection <> ?"
_KEEP_TRAIL = """INSERT INTO span_states (connection, uuid, first_seq, open_since, state)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET first_seq = excluded.first_seq, open_since = excluded.open_since, state = excluded.state"""
_PEND_SPAN = "INSERT INTO pending_spans (connection, uuid, ended_at, first_seq, span) VALUES (?, ?, ?, ?, ?)"


class SpanRecorder:
    """What is traced, and for which signals something is to be delivered."""

    def __init__(
        self, host: str, *, traces: bool, logs: bool, runs: bool, threads: ThreadRegistry | None = None
    ) -> None:
        """``host``: names this host; ``runs``: whether a run from start to stop is a span, too."""
        self._threads = threads or ThreadRegistry()
        self._host = host
        self._traces = traces
        self._logs = logs
        self._runs = runs

    def trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        """Number the transitions of a batch that is about to be written, and say on which span each is."""
        if batch.clock_jump:
            self._shift(database, batch.clock_jump)
        traced = self._trace(database, batch) if batch.transitions else []
        if batch.forgotten:
            database.executemany(
                "DELETE FROM span_states WHERE uuid = ? AND connection = ? AND open_since IS NULL",
                [(domain.uuid, domain.connection) for domain in batch.forgotten],
            )
        return traced

    def expire(self, database: sqlite3.Connection, now: float, latest: float) -> int:
        """Close what has been under way for too long; return how many spans that were.

        ``now``, ``latest``: the earliest and the latest that it may be; Unix time, seconds.
        """
        overdue = database.execute(
            "SELECT connection, uuid, state FROM span_states WHERE open_since < ? OR open_since > ?",
            (now - LIMIT, latest + LIMIT),
        ).fetchall()
        closed: list[tuple[Key, Span]] = []
        trails = {}
        for connection, uuid, text in overdue:
            key = (connection, uuid)
            trails[key] = NOTHING
            # A damaged state is reset: it costs this domain's open span.
            with self._threads.guard(OTLP_SENDER):
                spans, trails[key] = expire(read_trail(text), now, latest)
                closed += ((key, span) for span in spans)
        self._keep(database, trails, closed)
        return len(overdue)

    def _shift(self, database: sqlite3.Connection, seconds: float) -> None:
        """Let all that is open follow a jump of the wall clock: its duration is not the clock's error."""
        trails = {}
        for connection, uuid, text in database.execute(
            "SELECT connection, uuid, state FROM span_states"
        ).fetchall():
            with self._threads.guard(WORKER):
                trails[connection, uuid] = read_trail(text).shifted(seconds)
        self._keep(database, trails, ())

    def _trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        before, journal = database.execute(_LAST).fetchone()
        ids = Ids(f"{self._host}\0{journal}")
        closes = _closings(batch)
        trails: dict[Key, Trail] = {}
        closed: list[tuple[Key, Span]] = []
        traced = []
        for place_in_batch, change in enumerate(batch.transitions):
            number = before + 1 + place_in_batch
            key = (change.connection, change.uuid)
            peer = self._peer(database, trails, change) if change.reason == "migrated" else None
            step = Step(number, change, ids, closes.get(place_in_batch, _NONE), peer)
            try:
                trail = trails[key] if key in trails else _trail(database, key)
                placed = place(trail, step, runs=self._runs)
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
                # A damaged state is reset: it costs this domain's open span.
                self._threads.report(WORKER, error)
                placed = place(NOTHING, step, runs=self._runs)
            trails[key] = placed.trail
            closed += ((key, span) for span in placed.closed)
            traced.append(TracedTransition(number, change, *placed.ref))
        if self._logs:
            database.executemany("INSERT INTO pending_logs VALUES (?)", [(one.number,) for one in traced])
        self._keep(database, trails, closed)
        return traced

    def _peer(self, database: sqlite3.Connection, trails: dict[Key, Trail], change: Transition) -> Ref | None:
        """Find the same migration on another connection, if it was just now."""
        rows = database.execute(_PEERS, (change.uuid, change.connection)).fetchall()
        for key, trail in trails.items():
            if key[1] == change.uuid and key[0] != change.connection and (ref := _migration(trail, change)):
                return ref
        for row in rows:
            with self._threads.guard(WORKER):
                if ref := _migration(read_trail(row[0]), change):
                    return ref
        return None

    def _keep(
        self, database: sqlite3.Connection, trails: Mapping[Key, Trail], closed: Sequence[tuple[Key, Span]]
    ) -> None:
        if self._traces:
            database.executemany(
                _PEND_SPAN, [(*key, span.ended, span.number, _ENCODE(span)) for key, span in closed]
            )
        database.executemany(_KEEP_TRAIL, [_trail_row(key, trail) for key, trail in trails.items()])


def read_span(text: str) -> Span:
    """Read a span as ``pending_spans`` has it. Raises ValueError or TypeError for a damaged one."""
    number, ref, name, began, ended, outcome, duration, links, rows = json.loads(text)
    found = tuple(_link(link) for link in links)
    span = Span(number, Ref(*ref), name, began, ended, outcome, duration, found, tuple(rows))
    check_span(span)
    return span


def read_trail(text: str) -> Trail:
    """Read a trail as ``span_states`` has it."""
    under_way, previous, run, migration, conditions = json.loads(text)
    return Trail(
        _open(under_way) if under_way else None,
        Ref(*previous) if previous else None,
        _moment(run) if run else None,
        _moment(migration) if migration else None,
        {name: _moment(moment) for name, moment in conditions.items()},
    )


def _open(value: Any) -> Open:  # noqa: ANN401 - JSON
    name, number, ref, at, rows, links = value
    return Open(name, number, Ref(*ref), at, tuple(rows), tuple(_link(link) for link in links))


def _link(value: Any) -> Link:  # noqa: ANN401 - JSON
    ref, relations = value
    return Link(Ref(*ref), tuple(relations))


def _moment(value: Any) -> Moment:  # noqa: ANN401 - JSON
    ref, at = value
    return Moment(Ref(*ref), at)


def _trail(database: sqlite3.Connection, key: Key) -> Trail:
    connection, uuid = key
    row = database.execute(_TRAIL, (uuid, connection)).fetchone()
    return read_trail(row[0]) if row else NOTHING


def _trail_row(key: Key, trail: Trail) -> tuple[Any, ...]:
    under_way = trail.open
    number, since = (under_way.number, under_way.at) if under_way else (None, None)
    return (*key, number, since, _ENCODE(trail))


def _migration(trail: Trail, change: Transition) -> Ref | None:
    moment = trail.migration
    return moment.ref if moment is not None and abs(change.at - moment.at) < LIMIT else None


def _closings(batch: ChangeBatch | HistoryBatch) -> dict[int, frozenset[str]]:
    """Return, by place in the batch, the incidents that a transition ended."""
    ended: dict[int, set[str]] = {}
    for incident in batch.incidents.values():
        if incident.closed_at is None:
            continue
        key = (incident.connection, incident.uuid)
        own = [
            (number, change)
            for number, change in enumerate(batch.transitions)
            if (change.connection, change.uuid) == key
        ]
        exact = [number for number, change in own if change.at == incident.closed_at]
        if exact or own:
            ended.setdefault(exact[-1] if exact else own[-1][0], set()).add(incident.id)
    return {number: frozenset(incidents) for number, incidents in ended.items()}
