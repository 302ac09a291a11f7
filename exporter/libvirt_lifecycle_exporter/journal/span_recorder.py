"""Assigns each transition to a span when the journal appends it, and adds both to the export queue.

Invariant: everything happens inside the transaction that appends. A row and its ids are written together,
and a rolled-back batch leaves nothing behind: span states in memory are copies of committed rows. Runs on the
worker's thread, except for ``expire_operations``; the lock of the journal is held by both.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HistoryBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.span_operations import OPERATION_LIMIT
from libvirt_lifecycle_exporter.engine.spans import (
    EMPTY_STATE,
    DomainSpanState,
    Link,
    LinkTarget,
    OpenOperation,
    Span,
    SpanIds,
    SpanRef,
    TransitionContext,
    assign_span,
    expire_operation,
)
from libvirt_lifecycle_exporter.journal.damage import check_span
from libvirt_lifecycle_exporter.journal.transaction import execute_many
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, WORKER, ThreadRegistry

DomainKey = tuple[str, str]
"""connection, uuid"""

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=dict).encode
_NO_INCIDENTS: frozenset[str] = frozenset()
_MAX_STATES = 10_000
"""Span states that are kept in memory; when there are more, all are read again when they are needed."""
_SELECT_LAST_NUMBER = """SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'transitions'), 0),
    (SELECT id FROM identity)"""
_SELECT_STATE = "SELECT state FROM span_states WHERE uuid = ? AND connection = ?"
_SELECT_PEERS = "SELECT state FROM span_states WHERE uuid = ? AND connection <> ?"
_UPSERT_STATE = """INSERT INTO span_states (connection, uuid, first_seq, open_since, state)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET first_seq = excluded.first_seq, open_since = excluded.open_since, state = excluded.state"""
_INSERT_PENDING_LOG = "INSERT INTO pending_logs VALUES (?)"
_INSERT_PENDING_SPAN = (
    "INSERT INTO pending_spans (connection, uuid, ended_at, first_seq, span) VALUES (?, ?, ?, ?, ?)"
)


class SpanRecorder:
    """Writes spans, span states and the export queue."""

    def __init__(
        self, host: str, *, traces: bool, logs: bool, runs: bool, threads: ThreadRegistry | None = None
    ) -> None:
        """``host``: id of this host; ``traces``, ``logs``: whether the signal is exported; ``runs``: whether
        each run of a domain, from start to stop, is a span as well.
        """
        self._threads = threads or ThreadRegistry()
        self._host = host
        self._database: sqlite3.Connection | None = None
        """The connection that ``_states`` belongs to: another one may be to another file."""
        self._states: dict[DomainKey, DomainSpanState] = {}
        """Committed span states, so that they are not read and decoded for every batch."""
        self._uncommitted: dict[DomainKey, DomainSpanState] = {}
        """The states of the current transaction."""
        self._traces = traces
        self._logs = logs
        self._runs = runs

    def trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        """Return the transitions of a batch, before it is written, with their journal numbers and spans.

        Call ``committed`` after the transaction.
        """
        self._uncommitted = {}
        if database is not self._database or len(self._states) > _MAX_STATES:
            self._database, self._states = database, {}
        if batch.clock_jump:
            self._states = {}
            self._shift(database, batch.clock_jump)
        traced = self._trace(database, batch) if batch.transitions else []
        if batch.forgotten:
            for domain in batch.forgotten:
                self._states.pop((domain.connection, domain.uuid), None)
            database.executemany(
                "DELETE FROM span_states WHERE uuid = ? AND connection = ? AND open_since IS NULL",
                [(domain.uuid, domain.connection) for domain in batch.forgotten],
            )
        return traced

    def committed(self) -> None:
        """Record that the transaction of the last ``trace`` was committed."""
        self._states.update(self._uncommitted)
        self._uncommitted = {}

    def expire_operations(self, database: sqlite3.Connection, now: float, latest: float) -> int:
        """Close the spans of operations that exceeded their time limit; return their number.

        ``now``, ``latest``: lower and upper bound of the current time; Unix time in seconds.
        """
        overdue = database.execute(
            "SELECT connection, uuid, state FROM span_states WHERE open_since < ? OR open_since > ?",
            (now - OPERATION_LIMIT, latest + OPERATION_LIMIT),
        ).fetchall()
        closed: list[tuple[DomainKey, Span]] = []
        states = {}
        for connection, uuid, text in overdue:
            key = (connection, uuid)
            self._states.pop(key, None)
            states[key] = EMPTY_STATE
            # A damaged state is reset; only this domain's open span is lost.
            with self._threads.guard(OTLP_SENDER):
                spans, states[key] = expire_operation(read_state(text), now, latest)
                closed += ((key, span) for span in spans)
        self._save(database, states, closed)
        return len(overdue)

    def _shift(self, database: sqlite3.Connection, seconds: float) -> None:
        """Shift the times of all open operations and conditions by a jump of the wall clock, in seconds."""
        states = {}
        for connection, uuid, text in database.execute(
            "SELECT connection, uuid, state FROM span_states"
        ).fetchall():
            with self._threads.guard(WORKER):
                states[connection, uuid] = read_state(text).shifted(seconds)
        self._save(database, states, ())

    def _trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        before, journal = database.execute(_SELECT_LAST_NUMBER).fetchone()
        ids = SpanIds(f"{self._host}\0{journal}")
        closes = _closed_incidents(batch)
        states: dict[DomainKey, DomainSpanState] = {}
        closed: list[tuple[DomainKey, Span]] = []
        traced = []
        for index, change in enumerate(batch.transitions):
            number = before + 1 + index
            key = (change.connection, change.uuid)
            peer = self._find_peer(database, states, change) if change.reason == "migrated" else None
            context = TransitionContext(number, change, ids, closes.get(index, _NO_INCIDENTS), peer)
            try:
                state = states.get(key) or self._states.get(key) or _read_state_of(database, key)
                update = assign_span(state, context, runs=self._runs)
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
                # A damaged state is reset; only this domain's open span is lost.
                self._threads.report(WORKER, error)
                update = assign_span(EMPTY_STATE, context, runs=self._runs)
            states[key] = update.state
            closed += ((key, span) for span in update.closed)
            traced.append(TracedTransition(number, change, *update.ref))
        if self._logs:
            execute_many(database, _INSERT_PENDING_LOG, traced, lambda one: one[:1])
        self._save(database, states, closed)
        self._uncommitted = states
        return traced

    def _find_peer(
        self, database: sqlite3.Connection, states: dict[DomainKey, DomainSpanState], change: Transition
    ) -> SpanRef | None:
        """Return the span of the same migration on another connection, if it is recent."""
        rows = database.execute(_SELECT_PEERS, (change.uuid, change.connection)).fetchall()
        for key, state in states.items():
            if (
                key[1] == change.uuid
                and key[0] != change.connection
                and (ref := _recent_migration(state, change))
            ):
                return ref
        for row in rows:
            with self._threads.guard(WORKER):
                if ref := _recent_migration(read_state(row[0]), change):
                    return ref
        return None

    def _save(
        self,
        database: sqlite3.Connection,
        states: Mapping[DomainKey, DomainSpanState],
        closed: Sequence[tuple[DomainKey, Span]],
    ) -> None:
        if self._traces:
            execute_many(database, _INSERT_PENDING_SPAN, closed, _pending_span_row)
        execute_many(database, _UPSERT_STATE, states.items(), lambda item: _state_row(*item))


def read_span(text: str) -> Span:
    """Return a span from the JSON text in ``pending_spans``. Raises ValueError or TypeError if damaged."""
    number, ref, name, began, ended, outcome, duration, links, rows = json.loads(text)
    found = tuple(_read_link(link) for link in links)
    span = Span(number, SpanRef(*ref), name, began, ended, outcome, duration, found, tuple(rows))
    check_span(span)
    return span


def read_state(text: str) -> DomainSpanState:
    """Return a domain's span state from the JSON text in the table ``span_states``."""
    operation, previous, run, migration, conditions = json.loads(text)
    return DomainSpanState(
        _read_operation(operation) if operation else None,
        SpanRef(*previous) if previous else None,
        _read_target(run) if run else None,
        _read_target(migration) if migration else None,
        {name: _read_target(target) for name, target in conditions.items()},
    )


def _read_operation(value: Any) -> OpenOperation:  # noqa: ANN401 - JSON
    name, number, ref, at, rows, links = value
    return OpenOperation(
        name, number, SpanRef(*ref), at, tuple(rows), tuple(_read_link(link) for link in links)
    )


def _read_link(value: Any) -> Link:  # noqa: ANN401 - JSON
    ref, relations = value
    return Link(SpanRef(*ref), tuple(relations))


def _read_target(value: Any) -> LinkTarget:  # noqa: ANN401 - JSON
    ref, at = value
    return LinkTarget(SpanRef(*ref), at)


def _read_state_of(database: sqlite3.Connection, key: DomainKey) -> DomainSpanState:
    connection, uuid = key
    row = database.execute(_SELECT_STATE, (uuid, connection)).fetchone()
    return read_state(row[0]) if row else EMPTY_STATE


def _pending_span_row(closed: tuple[DomainKey, Span]) -> tuple[Any, ...]:
    (connection, uuid), span = closed
    return connection, uuid, span.ended, span.number, span_text(span)


def _state_row(key: DomainKey, state: DomainSpanState) -> tuple[Any, ...]:
    operation = state.operation
    number, since = (operation.number, operation.at) if operation else (None, None)
    return (*key, number, since, state_text(state))


def _recent_migration(state: DomainSpanState, change: Transition) -> SpanRef | None:
    target = state.migration
    return target.ref if target is not None and abs(change.at - target.at) < OPERATION_LIMIT else None


def _closed_incidents(batch: ChangeBatch | HistoryBatch) -> dict[int, frozenset[str]]:
    """Return the incidents that each transition ended, by the transition's index in the batch."""
    closed = [one for one in batch.incidents.values() if one.closed_at is not None]
    if not closed:
        return {}
    transitions: dict[DomainKey, list[int]] = {}
    for index, change in enumerate(batch.transitions):
        transitions.setdefault((change.connection, change.uuid), []).append(index)
    ended: dict[int, set[str]] = {}
    for incident in closed:
        own = transitions.get((incident.connection, incident.uuid), [])
        exact = [index for index in own if batch.transitions[index].at == incident.closed_at]
        if exact or own:
            ended.setdefault((exact or own)[-1], set()).add(incident.id)
    return {index: frozenset(incidents) for index, incidents in ended.items()}


def span_text(span: Span) -> str:
    """Return a span as the JSON text that ``read_span`` reads.

    Its strings are ids and names of this program, so none needs escaping; json.dumps takes five times as
    long, and this is on the path of every event.
    """
    duration = "null" if span.duration is None else repr(span.duration)
    return (
        f'[{span.number},{_ref_text(span.ref)},"{span.name}",{span.began!r},{span.ended!r},"{span.outcome}",'
        f"{duration},[{','.join(map(_link_text, span.links))}],[{','.join(map(str, span.rows))}]]"
    )


def state_text(state: DomainSpanState) -> str:
    """Return a span state as the JSON text that ``read_state`` reads."""
    if state.operation is not None:
        return _encode(state)
    previous = "null" if state.previous is None else _ref_text(state.previous)
    conditions = ",".join(
        f"{encode_basestring_ascii(name)}:{_target_text(target)}" for name, target in state.conditions.items()
    )
    return f"[null,{previous},{_target_text(state.run)},{_target_text(state.migration)},{{{conditions}}}]"


def _ref_text(ref: SpanRef) -> str:
    return f'["{ref.trace_id}","{ref.span_id}"]'


def _link_text(link: Link) -> str:
    relations = '","'.join(link.relations)
    return f'[["{link.ref.trace_id}","{link.ref.span_id}"],["{relations}"]]'


def _target_text(target: LinkTarget | None) -> str:
    return "null" if target is None else f"[{_ref_text(target.ref)},{target.at!r}]"
