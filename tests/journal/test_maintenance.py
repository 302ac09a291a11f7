"""Retention removes the oldest history, and no counter."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.schema import VERSION
from tests.journal.values import AT, batch, messages, transition
from tests.journal.writer import Writer
from tests.lab.waiting import until

DAY = 86_400.0
NO_AGE_LIMIT = 0.0
NO_SIZE_LIMIT = 0


def run_maintenance(
    writer: Writer, *, max_age: float = NO_AGE_LIMIT, max_bytes: int = NO_SIZE_LIMIT, now: float = AT
) -> None:
    JournalMaintenance(writer.journal, max_age=max_age, max_bytes=max_bytes).run_once(now)


def test_expired_history_is_removed_but_counters_stay(writer: Writer) -> None:
    writer.recover()
    writer.append(10)
    run_maintenance(writer, max_age=4.5, now=AT + 10)
    assert messages(writer.path) == ["6", "7", "8", "9"]
    assert writer.journal.events == 4
    assert writer.restores_everything()
    assert writer.journal.events == 4


def test_more_than_one_chunk_is_removed_in_one_run(writer: Writer) -> None:
    writer.recover()
    writer.append(7000)
    run_maintenance(writer, max_age=10, now=AT + 6999)
    assert len(messages(writer.path)) == 11
    assert writer.restores_everything()


def test_size_limit_removes_the_oldest_history(writer: Writer) -> None:
    writer.recover()
    writer.append(30_000)
    run_maintenance(writer, max_bytes=2 << 20)
    remaining = messages(writer.path)
    assert 1000 < len(remaining) < 28_001
    assert remaining[-1] == "29999"
    assert writer.journal.events == len(remaining)
    assert writer.restores_everything()
    writer.append(len(remaining) // 2)
    run_maintenance(writer)
    used = writer.path.stat().st_size
    writer.append(2000)
    run_maintenance(writer, max_bytes=2 << 20)
    writer.append(2000)
    assert writer.path.stat().st_size <= used + (1 << 20), "free pages are used again"


def test_without_limits_nothing_is_removed(writer: Writer) -> None:
    writer.recover()
    writer.append(5000)
    run_maintenance(writer, now=AT + 1000 * DAY)
    assert len(messages(writer.path)) == 5000


def test_history_is_kept_after_clock_was_behind(writer: Writer) -> None:
    """A machine without a clock battery starts in 1970 until its clock is set."""
    writer.recover()
    writer.append(3)
    writer.write(batch([transition(0, at=5.0)]))
    writer.append(2)
    run_maintenance(writer, max_age=30 * DAY, now=AT + 10)
    assert messages(writer.path) == ["0", "1", "2", "0", "3", "4"]


def test_write_ahead_log_is_checkpointed(writer: Writer) -> None:
    writer.recover()
    writer.append(1000)
    before = writer.path.stat().st_size
    run_maintenance(writer)
    assert writer.path.stat().st_size > before


def test_replaced_file_is_left_unchanged(writer: Writer) -> None:
    """The file is replaced while the exporter runs; maintenance must not change the new file."""
    writer.recover()
    writer.append(5)
    other = writer.path.with_name("other")
    database = sqlite3.connect(other)
    database.executescript(
        "CREATE TABLE transitions (seq INTEGER PRIMARY KEY, at REAL); INSERT INTO transitions VALUES (1, 0);"
    )
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = other.read_bytes()
    other.replace(writer.path)
    run_maintenance(writer, max_age=DAY, now=AT + 100 * DAY)
    assert writer.path.read_bytes() == before


def test_deleted_file_is_not_recreated(writer: Writer) -> None:
    writer.recover()
    writer.path.unlink()
    run_maintenance(writer)
    assert not writer.path.exists()


def test_locked_out_process_removes_nothing(path: Path, writer: Writer) -> None:
    """Another process holds the journal."""
    writer.recover()
    writer.append(5)
    second = Writer(path)
    run_maintenance(second, max_age=1, now=AT + 100)
    assert len(messages(path)) == 5
    assert second.journal.events == 0


def test_failed_maintenance_is_logged_once_and_counted(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.recover()
    writer.append()
    with closing(sqlite3.connect(writer.path)) as database:
        database.execute("DROP TABLE dead_letters")
    maintenance = JournalMaintenance(writer.journal, max_age=1e9, max_bytes=NO_SIZE_LIMIT, interval=0.01)
    maintenance.start()
    try:
        until(lambda: writer.journal.errors >= 3, 30, "three failures")
    finally:
        maintenance.stop(30)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["journal maintenance failed; retrying"]
