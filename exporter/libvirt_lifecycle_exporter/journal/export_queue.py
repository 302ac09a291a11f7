"""What is to be delivered, as the sender sees it: taken, marked, given up, set aside.

Law: each method has a connection of its own for as long as it runs, and holds the journal for no longer
than one small transaction; nothing here is done on the worker's thread. What cannot be had now raises
``UnavailableError``, and nothing has changed.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Any

from libvirt_lifecycle_exporter.engine.span_operations import LIMIT
from libvirt_lifecycle_exporter.engine.spans import Ref
from libvirt_lifecycle_exporter.journal.damage import TRANSITION_KINDS, describe_problem
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.export_items import (
    LOGS,
    TRACES,
    ExportItem,
    ReplacedError,
    Row,
    UnavailableError,
)
from libvirt_lifecycle_exporter.journal.rows import TRANSITION
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder, read_span
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, ThreadRegistry

_ROW_KINDS = MappingProxyType(
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
"""Rows that one transaction gives up."""
_COLUMNS = ", ".join(
    f"t.{name}" for name in ("seq", *TRANSITION, "trace_id", "span_id", "exported_without_message")
)
_LOGS = f"""SELECT p.position, {_COLUMNS} FROM pending_logs p LEFT JOIN transitions t ON t.seq = p.position
    WHERE p.position > ? ORDER BY p.position LIMIT ?"""  # noqa: S608 - names of our own
_SPANS = """SELECT position, connection, uuid, span FROM pending_spans
    WHERE position > ? ORDER BY position LIMIT ?"""
_ROWS = f"SELECT {_COLUMNS} FROM transitions t WHERE t.seq IN (SELECT value FROM json_each(?)) ORDER BY t.seq"  # noqa: S608
_OLDEST = {
    TRACES: "SELECT ended_at FROM pending_spans ORDER BY position LIMIT 1",
    LOGS: "SELECT t.at FROM pending_logs p JOIN transitions t ON t.seq = p.position "
    "ORDER BY p.position LIMIT 1",
}
_OWNERS = {
    TRACES: "SELECT connection, uuid, max(position) FROM pending_spans GROUP BY connection, uuid",
    LOGS: "SELECT t.connection, t.uuid, max(p.position) FROM pending_logs p "
    "JOIN transitions t ON t.seq = p.position GROUP BY t.connection, t.uuid",
}
_FIRST = {
    TRACES: "SELECT position, ended_at FROM pending_spans ORDER BY position LIMIT ?",
    LOGS: "SELECT p.position, t.at FROM pending_logs p JOIN transitions t ON t.seq = p.position "
    "ORDER BY p.position LIMIT ?",
}
"""Those that were there first; what is too old is among them sooner or later."""
_OVERDUE = "SELECT 1 FROM span_states WHERE open_since < ? OR open_since > ? LIMIT 1"


class ExportQueue:
    """The queue of both signals."""

    def __init__(
        self, journal: Journal, tracing: SpanRecorder, threads: ThreadRegistry | None = None
    ) -> None:
        self._threads = threads or ThreadRegistry()
        self._journal = journal
        self._tracing = tracing
        self._files: dict[str, str] = {}
        """Signal -> the identity of the journal that its places are from."""

    def take(self, signal: str, after: int, limit: int) -> list[ExportItem]:
        """Return what is pending behind a place, in order; it stays pending."""
        with self._database() as database:
            database.execute("BEGIN")
            self._recognize(database, signal)
            if signal == LOGS:
                return [self._log(row) for row in database.execute(_LOGS, (after, limit))]
            found = database.execute(_SPANS, (after, limit)).fetchall()
            return [self._span(database, row) for row in found]

    def newest(self, signal: str) -> dict[tuple[str, str], int]:
        """Return, by connection and uuid, the last place of what is pending of each domain."""
        with self._database() as database:
            self._recognize(database, signal)
            return {(str(row[0]), str(row[1])): row[2] for row in database.execute(_OWNERS[signal])}

    def figures(self, signal: str) -> tuple[int, float]:
        """Return how much is pending, and when the oldest of it happened (0: nothing is)."""
        with self._database() as database:
            (count,) = database.execute(f"SELECT count(*) FROM {_TABLES[signal]}").fetchone()  # noqa: S608
            oldest = database.execute(_OLDEST[signal]).fetchone()
        return count, oldest[0] if oldest and isinstance(oldest[0], float) else 0.0

    def seal(self, signal: str, numbers: Sequence[int]) -> None:
        """Note, for good, that these transitions are sent without a message."""
        with self._writing() as database:
            self._recognize(database, signal)
            database.executemany(
                "UPDATE transitions SET exported_without_message = 1 WHERE seq = ?",
                [(number,) for number in numbers],
            )

    def done(self, signal: str, places: Sequence[int]) -> None:
        """Forget what was delivered."""
        with self._writing() as database:
            self._recognize(database, signal)
            _remove(database, signal, places)

    def set_aside(self, signal: str, parcels: Sequence[ExportItem], cause: str, words: str) -> None:
        """Take out of the queue what will never be delivered, and keep it where it can be seen."""
        now = time.time()
        with self._writing() as database:
            self._recognize(database, signal)
            database.executemany(
                "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)",
                [(signal, parcel.place, now, cause, words, json.dumps(parcel)) for parcel in parcels],
            )
            _remove(database, signal, [parcel.place for parcel in parcels])

    def give_up(self, signal: str, before: float) -> int:
        """Take out of the queue what happened before a time, one chunk of it; return how much that was.

        What came after something that stays is not old: its time stamp is from a clock that was behind.
        """
        latest = max(before, time.time())
        with self._database() as database:
            self._recognize(database, signal)
            first = database.execute(_FIRST[signal], (_CHUNK,)).fetchall()
        old = []
        for place, at in first:
            if not isinstance(at, float) or at < before:
                old.append(place)
            elif at <= latest:
                break
        if old:
            self.done(signal, old)
        return len(old)

    def expire(self, now: float) -> int:
        """End the spans that have been open for too long; return how many.

        ``now``: Unix time, seconds; if the wall clock is ahead of it, the wall clock is in doubt.
        """
        latest = max(now, time.time())
        with self._database() as database:
            if database.execute(_OVERDUE, (now - LIMIT, latest + LIMIT)).fetchone() is None:
                return 0
        with self._writing() as database:
            return self._tracing.expire(database, now, latest)

    def _recognize(self, database: sqlite3.Connection, signal: str) -> None:
        """Raise ReplacedError, once, if this is another journal than the one that was read before."""
        (file,) = database.execute("SELECT id FROM identity").fetchone()
        known, self._files[signal] = self._files.get(signal, file), file
        if known != file:
            raise ReplacedError("the journal is another one than before")

    def _log(self, values: tuple[Any, ...]) -> ExportItem:
        place, *rest = values
        try:
            row = _row(tuple(rest))
        except ValueError as error:
            # Retention may have removed it; a damaged one is as good as removed.
            if rest[0] is not None:
                self._threads.report(OTLP_SENDER, error)
            return ExportItem(place, "", "", None, ())
        return ExportItem(row.number, row.change.connection, row.change.uuid, None, (row,))

    def _span(self, database: sqlite3.Connection, values: tuple[int, str, str, str]) -> ExportItem:
        place, connection, uuid, text = values
        try:
            if not isinstance(connection, str) or not isinstance(uuid, str):
                raise TypeError(f"the owner is {connection!r:.60}, {uuid!r:.60}")  # noqa: TRY301
            span = read_span(text)
            rows = tuple(_row(row) for row in database.execute(_ROWS, (json.dumps(span.rows),)))
        except (ValueError, TypeError) as error:
            self._threads.report(OTLP_SENDER, error)
            return ExportItem(place, "", "", None, ())
        return ExportItem(place, connection, uuid, span, rows)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._journal.maintenance_lock:
                if not self._journal.is_open():
                    raise UnavailableError("the journal is not at hand")
                with closing(connect(self._journal.path)) as database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database() as database, self._journal.lock:
            if not self._journal.is_open():
                raise UnavailableError("the journal is not at hand")
            database.execute("BEGIN IMMEDIATE")
            yield database
            # What is left open when something is raised, is rolled back as the connection closes.
            database.execute("COMMIT")


def _remove(database: sqlite3.Connection, signal: str, places: Sequence[int]) -> None:
    database.executemany(
        f"DELETE FROM {_TABLES[signal]} WHERE position = ?",  # noqa: S608 - names of our own
        [(place,) for place in places],
    )


def _row(values: tuple[object, ...]) -> Row:
    """Read a transition. Raises ValueError for a damaged one."""
    if problem := describe_problem(values, _ROW_KINDS):
        raise ValueError(problem)
    number, *fields, trace_id, span_id, unexplained = values
    change = Transition(*fields)  # type: ignore[arg-type] # as the columns are
    return Row(number, change, Ref(trace_id, span_id), bool(unexplained))  # type: ignore[arg-type] # as above
