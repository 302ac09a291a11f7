"""The export queue: the journal's pending items as the senders read and remove them.

Each method opens its own database connection and locks the journal for at most one small transaction. The
methods run on the senders' threads, never on the worker's. A method raises ``UnavailableError`` if the
journal is unavailable; nothing has changed then.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Any

from libvirt_lifecycle_exporter.engine.span_operations import OPERATION_LIMIT
from libvirt_lifecycle_exporter.engine.spans import Span, SpanRef
from libvirt_lifecycle_exporter.journal.damage import TRANSITION_KINDS, describe_problem
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.export_items import (
    LOGS,
    TRACES,
    ExportItem,
    JournalReplacedError,
    Row,
    UnavailableError,
)
from libvirt_lifecycle_exporter.journal.rows import TRANSITION
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder, read_span
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, ThreadRegistry

_ROW_TYPES = MappingProxyType(
    {
        "seq": (int,),
        **TRANSITION_KINDS,
        "trace_id": (str,),
        "span_id": (str,),
        "exported_without_message": (int,),
    }
)
_TABLES = {TRACES: "pending_spans", LOGS: "pending_logs"}
_CHUNK = 2000
"""Maximum number of items that one transaction removes."""
_COLUMNS = ", ".join(
    f"t.{name}" for name in ("seq", *TRANSITION, "trace_id", "span_id", "exported_without_message")
)
_LOG_ITEMS = f"""SELECT p.position, {_COLUMNS} FROM pending_logs p
    LEFT JOIN transitions t ON t.seq = p.position
    WHERE p.position > ? ORDER BY p.position LIMIT ?"""  # noqa: S608 - constant names
_SPAN_ITEMS = """SELECT position, connection, uuid, span FROM pending_spans
    WHERE position > ? ORDER BY position LIMIT ?"""
_SPAN_ROWS = f"SELECT {_COLUMNS} FROM transitions t WHERE t.seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - constant names; values are parameters
_OLDEST = {
    TRACES: "SELECT ended_at FROM pending_spans ORDER BY position LIMIT 1",
    LOGS: "SELECT t.at FROM pending_logs p JOIN transitions t ON t.seq = p.position "
    "ORDER BY p.position LIMIT 1",
}
_LAST_POSITIONS = {
    TRACES: "SELECT connection, uuid, max(position) FROM pending_spans GROUP BY connection, uuid",
    LOGS: "SELECT t.connection, t.uuid, max(p.position) FROM pending_logs p "
    "JOIN transitions t ON t.seq = p.position GROUP BY t.connection, t.uuid",
}
_FIRST_ITEMS = {
    TRACES: "SELECT position, ended_at FROM pending_spans ORDER BY position LIMIT ?",
    LOGS: "SELECT p.position, t.at FROM pending_logs p JOIN transitions t ON t.seq = p.position "
    "ORDER BY p.position LIMIT ?",
}
"""The first items of the queue. Every item that is too old becomes one of them."""
_OVERDUE_OPERATION = "SELECT 1 FROM span_states WHERE open_since < ? OR open_since > ? LIMIT 1"


class ExportQueue:
    """The queues of both signals. ``signal`` is ``traces`` or ``logs``; times are Unix times in seconds."""

    def __init__(
        self, journal: Journal, recorder: SpanRecorder, threads: ThreadRegistry | None = None
    ) -> None:
        self._threads = threads or ThreadRegistry()
        self._journal = journal
        self._recorder = recorder
        self._identities: dict[str, str] = {}
        """Signal -> identity of the journal that the signal's positions belong to."""

    def read(self, signal: str, after: int, limit: int) -> list[ExportItem]:
        """Return up to ``limit`` pending items with positions above ``after``, in order."""
        with self._connect() as database:
            database.execute("BEGIN")
            self._check_identity(database, signal)
            if signal == LOGS:
                return [self._log_item(row) for row in database.execute(_LOG_ITEMS, (after, limit))]
            return self._span_items(database, after, limit)

    def last_positions(self, signal: str) -> dict[tuple[str, str], int]:
        """Return the last pending position of each domain, by (connection, uuid)."""
        with self._connect() as database:
            self._check_identity(database, signal)
            return {(str(row[0]), str(row[1])): row[2] for row in database.execute(_LAST_POSITIONS[signal])}

    def statistics(self, signal: str) -> tuple[int, float]:
        """Return the number of pending items and the time of the oldest (0: none)."""
        with self._connect() as database:
            (count,) = database.execute(f"SELECT count(*) FROM {_TABLES[signal]}").fetchone()  # noqa: S608 - constant names; values are parameters
            oldest = database.execute(_OLDEST[signal]).fetchone()
        return count, oldest[0] if oldest and isinstance(oldest[0], float) else 0.0

    def mark_exported_without_message(self, signal: str, numbers: Sequence[int]) -> None:
        """Record that these transitions, by journal number, are sent without a message."""
        with self._transaction() as database:
            self._check_identity(database, signal)
            database.executemany(
                "UPDATE transitions SET exported_without_message = 1 WHERE seq = ?",
                [(number,) for number in numbers],
            )

    def remove(self, signal: str, positions: Sequence[int]) -> None:
        """Remove items that were delivered or dropped."""
        with self._transaction() as database:
            self._check_identity(database, signal)
            _delete(database, signal, positions)

    def add_dead_letters(self, signal: str, items: Sequence[ExportItem], cause: str, error: str) -> None:
        """Move items that cannot be delivered from the queue to the table ``dead_letters``."""
        now = time.time()
        with self._transaction() as database:
            self._check_identity(database, signal)
            database.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)",
                [(signal, item.position, now, cause, error, json.dumps(item)) for item in items],
            )
            _delete(database, signal, [item.position for item in items])

    def remove_older(self, signal: str, before: float) -> int:
        """Remove items older than ``before``, at most one chunk; return their number.

        An item behind a newer one is not old: its timestamp is from a clock that was behind.
        """
        latest = max(before, time.time())
        with self._connect() as database:
            self._check_identity(database, signal)
            first = database.execute(_FIRST_ITEMS[signal], (_CHUNK,)).fetchall()
        old = []
        for position, at in first:
            if not isinstance(at, float) or at < before:
                old.append(position)
            elif at <= latest:
                break
        if old:
            self.remove(signal, old)
        return len(old)

    def expire_operations(self, now: float) -> int:
        """End the spans of operations that exceeded their time limit; return their number.

        ``now``: a lower bound of the time; the wall clock is the upper bound and may be ahead.
        """
        latest = max(now, time.time())
        with self._connect() as database:
            limits = (now - OPERATION_LIMIT, latest + OPERATION_LIMIT)
            if database.execute(_OVERDUE_OPERATION, limits).fetchone() is None:
                return 0
        with self._transaction() as database:
            return self._recorder.expire_operations(database, now, latest)

    def _check_identity(self, database: sqlite3.Connection, signal: str) -> None:
        """Raise JournalReplacedError, once, if the journal was replaced since the last call."""
        (identity,) = database.execute("SELECT id FROM identity").fetchone()
        known, self._identities[signal] = self._identities.get(signal, identity), identity
        if known != identity:
            raise JournalReplacedError("the journal was replaced")

    def _log_item(self, values: tuple[Any, ...]) -> ExportItem:
        position, *rest = values
        try:
            row = _read_row(tuple(rest))
        except ValueError as error:
            # Retention may have removed the transition. A damaged one counts as removed.
            if rest[0] is not None:
                self._threads.report(OTLP_SENDER, error)
            return ExportItem(position, "", "", None, ())
        return ExportItem(row.number, row.change.connection, row.change.uuid, None, (row,))

    def _span_items(self, database: sqlite3.Connection, after: int, limit: int) -> list[ExportItem]:
        found = database.execute(_SPAN_ITEMS, (after, limit)).fetchall()
        spans = [self._read_span(*values) for values in found]
        numbers = [number for span in spans if span is not None for number in span.rows]
        rows = {row[0]: row for row in database.execute(_SPAN_ROWS, (json.dumps(numbers),))}
        return [self._span_item(values, span, rows) for values, span in zip(found, spans, strict=True)]

    def _read_span(self, _position: int, connection: object, uuid: object, text: str) -> Span | None:
        """Return a span; None, which is reported, if it is damaged."""
        try:
            if not isinstance(connection, str) or not isinstance(uuid, str):
                raise TypeError(f"connection or uuid is damaged: {connection!r:.60}, {uuid!r:.60}")  # noqa: TRY301
            return read_span(text)
        except (ValueError, TypeError) as error:
            self._threads.report(OTLP_SENDER, error)
            return None

    def _span_item(
        self, values: tuple[int, str, str, str], span: Span | None, rows: Mapping[int, tuple[Any, ...]]
    ) -> ExportItem:
        position, connection, uuid, _ = values
        if span is not None:
            try:
                own = tuple(_read_row(rows[number]) for number in span.rows if number in rows)
            except ValueError as error:
                self._threads.report(OTLP_SENDER, error)
            else:
                return ExportItem(position, connection, uuid, span, own)
        return ExportItem(position, "", "", None, ())

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._journal.maintenance_lock:
                if not self._journal.is_open():
                    raise UnavailableError("the journal is not open")
                with closing(connect(self._journal.path)) as database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(str(error)) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connect() as database, self._journal.lock:
            if not self._journal.is_open():
                raise UnavailableError("the journal is not open")
            database.execute("BEGIN IMMEDIATE")
            yield database
            # After an exception, closing the connection rolls the transaction back.
            database.execute("COMMIT")


def _delete(database: sqlite3.Connection, signal: str, positions: Sequence[int]) -> None:
    database.executemany(
        f"DELETE FROM {_TABLES[signal]} WHERE position = ?",  # noqa: S608 - constant names
        [(position,) for position in positions],
    )


def _read_row(values: tuple[object, ...]) -> Row:
    """Return a transition read from the journal. Raises ValueError if it is damaged."""
    if problem := describe_problem(values, _ROW_TYPES):
        raise ValueError(problem)
    number, *fields, trace_id, span_id, exported_without_message = values
    change = Transition(*fields)  # type: ignore[arg-type] # describe_problem has checked the types
    return Row(number, change, SpanRef(trace_id, span_id), bool(exported_without_message))  # type: ignore[arg-type] # describe_problem has checked the types
