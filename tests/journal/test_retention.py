"""Retention is never blocked permanently, and the size limit removes history last."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.journal.export_items import LOGS, SIGNALS, TRACES
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from tests.journal.values import AT, batch, transition

DAY = 86_400.0
LATER = AT + 100 * DAY


class QueueFixture:
    """A journal that was written while both signals were enabled."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path, span_recorder=SpanRecorder("host", traces=True, logs=True, runs=False))
        self.journal.restore()
        self.journal.recover(lambda: NOTHING)

    def run_maintenance(
        self, signals: Collection[str], *, max_bytes: int = 0, max_age: float = 30 * DAY
    ) -> None:
        maintenance = JournalMaintenance(self.journal, max_age=max_age, max_bytes=max_bytes, signals=signals)
        maintenance.run_once(LATER)

    def execute(self, statement: str, *rows: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executemany(statement, rows)

    def count(self, table: str) -> int:
        with closing(sqlite3.connect(self.path)) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.mark.parametrize("signals", [(), (LOGS,), (TRACES,)], ids=["both off", "traces off", "logs off"])
def test_disabled_signal_does_not_block_retention(signals: tuple[str, ...], path: Path) -> None:
    queue = QueueFixture(path)
    with closing(queue.journal):
        queue.journal.append(batch([transition(number, event="defined") for number in range(20)]))
        for signal, table in ((TRACES, "pending_spans"), (LOGS, "pending_logs")):
            if signal in signals:
                queue.execute(f"DELETE FROM {table} WHERE position > ?", (0,))
        queue.journal.append(batch([transition(int(100 * DAY))]))
        for table in ("pending_spans", "pending_logs"):
            queue.execute(f"DELETE FROM {table} WHERE position > ?", (20,))
        queue.run_maintenance(signals)
        assert queue.count("transitions") == 1
        for signal, table in ((TRACES, "pending_spans"), (LOGS, "pending_logs")):
            assert queue.count(table) == 0
            assert queue.journal.disabled_dropped[signal] == (0 if signal in signals else 20)


def test_pending_rows_of_an_enabled_signal_block_retention(path: Path) -> None:
    queue = QueueFixture(path)
    with closing(queue.journal):
        queue.journal.append(batch([transition(event="defined")]))
        queue.run_maintenance(SIGNALS)
        assert queue.count("transitions") == 1


@pytest.mark.parametrize("signals", [(LOGS,), SIGNALS], ids=["logs only", "both"])
def test_unfinished_operation_does_not_block_retention(signals: tuple[str, ...], path: Path) -> None:
    queue = QueueFixture(path)
    with closing(queue.journal):
        queue.journal.append(batch([transition(event="shutdown", reason="guest")]))
        queue.execute("DELETE FROM pending_logs WHERE position > ?", (0,))
        assert queue.count("span_states WHERE open_since IS NOT NULL") == 1
        queue.run_maintenance(signals)
        assert queue.count("transitions") == 0


def test_closed_incidents_and_set_aside_rows_expire(path: Path) -> None:
    queue = QueueFixture(path)
    with closing(queue.journal):
        incidents = [("old", AT + 1), ("new", LATER - 1), ("open", None)]
        for name, closed_at in incidents:
            queue.execute(
                "INSERT INTO incidents VALUES (?, 'c', 'u', 'n', 'crashed', 'cause', ?, ?)",
                (name, AT, closed_at),
            )
        for position, at in ((1, AT), (2, LATER)):
            queue.execute(
                "INSERT INTO dead_letters VALUES ('logs', ?, ?, 'rejected', '', '')", (position, at)
            )
        queue.run_maintenance(SIGNALS)
        assert queue.count("incidents") == 2
        assert queue.count("dead_letters") == 1


def test_size_limit_removes_history_last(path: Path) -> None:
    queue = QueueFixture(path)
    with closing(queue.journal):
        queue.journal.append(batch([transition(number, event="defined") for number in range(500)]))
        queue.execute(
            "INSERT INTO incidents VALUES (?, 'c', 'u', 'n', 'crashed', 'cause', ?, ?)",
            *((f"incident-{number}", AT, AT + number) for number in range(100_000)),
        )
        queue.execute(
            "INSERT INTO dead_letters VALUES ('logs', ?, 0, 'rejected', '', ?)",
            *((number, "x" * 1000) for number in range(1000)),
        )
        queue.run_maintenance((), max_bytes=2 << 20, max_age=0)
        assert queue.count("transitions") == 500
        assert 1000 <= queue.count("incidents") < 100_000
        assert queue.count("dead_letters") == 0
