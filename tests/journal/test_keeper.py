"""Retention cuts the history, at its old end, and no counter."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.schema import VERSION
from tests.journal.model import Writer
from tests.journal.values import AT, batch, messages, transition
from tests.lab.waiting import until

DAY = 86_400.0
FOR_EVER = 0.0
ANY_SIZE = 0


def keep(writer: Writer, *, max_age: float = FOR_EVER, max_bytes: int = ANY_SIZE, now: float = AT) -> None:
    JournalMaintenance(writer.journal, max_age=max_age, max_bytes=max_bytes).run_once(now)


def test_expired_history_is_removed_but_counters_stay(writer: Writer) -> None:
    writer.tend()
    writer.append(10)
    keep(writer, max_age=4.5, now=AT + 10)
    assert messages(writer.path) == ["6", "7", "8", "9"]
    assert writer.journal.events == 4
    assert writer.remembers_everything()
    assert writer.journal.events == 4


def test_more_than_one_chunk_is_removed_in_one_run(writer: Writer) -> None:
    writer.tend()
    writer.append(7000)
    keep(writer, max_age=10, now=AT + 6999)
    assert len(messages(writer.path)) == 11
    assert writer.remembers_everything()


def test_size_limit_removes_the_oldest_history(writer: Writer) -> None:
    writer.tend()
    writer.append(30_000)
    keep(writer, max_bytes=2 << 20)
    kept = messages(writer.path)
    assert 1000 < len(kept) < 28_001
    assert kept[-1] == "29999"
    assert writer.journal.events == len(kept)
    assert writer.remembers_everything()
    writer.append(len(kept) // 2)
    keep(writer)
    used = writer.path.stat().st_size
    writer.append(2000)
    keep(writer, max_bytes=2 << 20)
    writer.append(2000)
    assert writer.path.stat().st_size <= used + (1 << 20), "free pages are used again"


def test_without_limits_nothing_is_removed(writer: Writer) -> None:
    writer.tend()
    writer.append(5000)
    keep(writer, now=AT + 1000 * DAY)
    assert len(messages(writer.path)) == 5000


def test_history_is_kept_after_clock_was_behind(writer: Writer) -> None:
    """A machine without a clock battery journals in 1970 until it is told the time."""
    writer.tend()
    writer.append(3)
    writer.give(batch([transition(0, at=5.0)]))
    writer.append(2)
    keep(writer, max_age=30 * DAY, now=AT + 10)
    assert messages(writer.path) == ["0", "1", "2", "0", "3", "4"]


def test_write_ahead_log_is_checkpointed(writer: Writer) -> None:
    writer.tend()
    writer.append(1000)
    before = writer.path.stat().st_size
    keep(writer)
    assert writer.path.stat().st_size > before


def test_replaced_file_is_left_unchanged(writer: Writer) -> None:
    """Execute there while it runs; until that is noticed, the keeper must not have cut it."""
    writer.tend()
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
    keep(writer, max_age=DAY, now=AT + 100 * DAY)
    assert writer.path.read_bytes() == before


def test_deleted_file_is_not_recreated(writer: Writer) -> None:
    writer.tend()
    writer.path.unlink()
    keep(writer)
    assert not writer.path.exists()


def test_locked_out_process_removes_nothing(path: Path, writer: Writer) -> None:
    """Another process has it."""
    writer.tend()
    writer.append(5)
    second = Writer(path)
    keep(second, max_age=1, now=AT + 100)
    assert len(messages(path)) == 5
    assert second.journal.events == 0


def test_failed_maintenance_is_logged_once_and_counted(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.tend()
    writer.append()
    with closing(sqlite3.connect(writer.path)) as database:
        database.execute("DROP TABLE dead_letters")
    keeper = JournalMaintenance(writer.journal, max_age=1e9, max_bytes=ANY_SIZE, interval=0.01)
    keeper.start()
    try:
        until(lambda: writer.journal.errors >= 3, 30, "three failures")
    finally:
        keeper.stop(30)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["journal maintenance failed; retrying"]
