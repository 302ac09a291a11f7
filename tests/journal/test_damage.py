"""A journal that is corrupt, too new, deleted, replaced or not accessible: the exporter keeps counting."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import (
    ChangeBatch,
    HistoryBatch,
    TracedTransition,
)
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.disabled import DisabledJournal
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.schema import VERSION
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.runtime.threads import WORKER, ThreadRegistry
from tests.journal.values import AT, CONNECTION, batch, messages, set_aside_files, transition
from tests.journal.writer import ExpectedState, Writer, is_same_state
from tests.lab.log_lines import count_lines

OpenWriter = Callable[[Path], Writer]
GARBAGE = b"this is no database \xff\x00" * 250


def create_closed_journal(path: Path, transitions: int = 500) -> bytes:
    """Create a journal, close it properly and return its content."""
    writer = Writer(path)
    writer.recover()
    writer.append(transitions)
    writer.journal.close()
    return path.read_bytes()


def overwrite(path: Path, where: int, what: bytes = GARBAGE) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(what)


@pytest.mark.parametrize("where", [0, 4096, 30_000], ids=["header", "schema", "middle"])
def test_corrupt_file_is_set_aside_at_start(
    where: int, path: Path, open_writer: OpenWriter, caplog: pytest.LogCaptureFixture
) -> None:
    create_closed_journal(path)
    overwrite(path, where, GARBAGE * 8)
    corrupt = path.read_bytes()
    writer = open_writer(path)
    writer.append(3)
    writer.recover()
    assert [aside.read_bytes() for aside in set_aside_files(path)] == [corrupt]
    assert messages(path) == ["0", "1", "2"]
    assert writer.journal.errors > 0
    assert count_lines(caplog, "journal corrupt") == 1
    assert writer.restores_everything()


@pytest.mark.parametrize("where", [0, 4096, 30_000], ids=["header", "schema", "middle"])
def test_corruption_while_running_keeps_counters(
    where: int, path: Path, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.recover()
    writer.append(500)
    writer.restart()
    overwrite(path, where, GARBAGE * 8)
    for _ in range(20):
        writer.append()
        writer.recover()
    with suppress(sqlite3.Error):
        JournalMaintenance(writer.journal, max_age=0, max_bytes=0).run_once(
            AT
        )  # maintenance reads pages that appending does not touch
    writer.recover()
    assert writer.restores_everything()
    assert count_lines(caplog, "journal corrupt") == len(set_aside_files(path)) <= 1


@pytest.mark.parametrize("seed", range(40))
def test_random_damage_does_not_prevent_start(seed: int, path: Path, open_writer: OpenWriter) -> None:
    """SQLite detects only part of the damage: columns may still hold values of the wrong type."""
    create_closed_journal(path, 100)
    rng = random.Random(seed)  # noqa: S311 - no secret
    size = path.stat().st_size
    for _ in range(rng.choice((1, 10, 200))):
        overwrite(path, rng.randrange(size), rng.randbytes(rng.choice((1, 2, 16))))
    writer = open_writer(path)
    for _ in range(3):
        writer.append()
        writer.recover()
    assert writer.restores_everything()


def test_invalid_rows_lose_only_their_own_content(path: Path, open_writer: OpenWriter) -> None:
    create_closed_journal(path)
    database = connect(path)
    database.execute("UPDATE domain_counters SET value = 'many', last_at = x'00'")
    database.execute(
        "INSERT INTO domains (connection, uuid, name, state, reason, since, confirmed, domain_id, "
        "details, present, removed_at, run_id) "
        "VALUES ('c', 'u', 'n', 'running', 'booted', 0, 1, 1, 'no json', 1, 0, '')"
    )
    database.close()
    writer = open_writer(path)
    assert (writer.restored.counts, writer.restored.domains) == ({}, [])
    assert writer.restored.totals == {(CONNECTION, "event", "started", "booted"): 500.0}
    assert writer.journal.errors == 2
    writer.append()
    writer.recover()
    assert set_aside_files(path) == []
    assert len(messages(path)) == 501
    assert writer.restores_everything()


def test_each_corrupt_file_gets_its_own_name(path: Path, open_writer: OpenWriter) -> None:
    for number in range(3):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(GARBAGE + bytes([number]))
        open_writer(path).journal.close()
    assert len(set_aside_files(path)) == 3


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_file_of_newer_schema_is_left_unchanged(
    mode: str, path: Path, open_writer: OpenWriter, caplog: pytest.LogCaptureFixture
) -> None:
    create_closed_journal(path)
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.execute(f"PRAGMA journal_mode = {mode}")
    database.close()
    before = path.read_bytes()
    writer = open_writer(path)
    for _ in range(3):
        writer.append()
        writer.recover()
    writer.journal.close()
    assert path.read_bytes() == before
    assert set_aside_files(path) == []
    assert writer.journal.errors >= 3
    assert count_lines(caplog, f"schema version {VERSION + 1}") == 1


def test_journal_recovers_when_newer_file_is_removed(path: Path, open_writer: OpenWriter) -> None:
    path.parent.mkdir()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    writer = open_writer(path)
    writer.append(3)
    writer.recover()
    path.rename(path.with_name("kept"))
    writer.recover()
    assert messages(path) == ["0", "1", "2"]
    assert writer.restores_everything()


def test_deleted_file_is_recreated(path: Path, writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    writer.recover()
    writer.append(3)
    for part in path.parent.iterdir():
        part.unlink()
    writer.append()
    writer.recover()
    writer.append(2)
    assert messages(path) == ["4", "5"]
    assert writer.journal.errors == 1
    assert count_lines(caplog, "deleted or replaced") == 1
    assert writer.restores_everything()


def test_deleted_directory_is_recreated(path: Path, writer: Writer) -> None:
    writer.recover()
    writer.append(3)
    shutil.rmtree(path.parent)
    writer.recover()
    writer.append()
    assert messages(path) == ["3"]
    assert writer.restores_everything()


def test_replaced_file_continues_with_counters_of_the_process(path: Path, writer: Writer) -> None:
    other = path.parent.parent / "other.sqlite"
    create_closed_journal(other, 7)
    writer.recover()
    writer.append(3)
    other.replace(path)
    writer.recover()
    writer.append()
    assert messages(path) == [*map(str, range(7)), "3"]
    assert writer.restores_everything()


def test_replaced_by_corrupt_file_is_set_aside(path: Path, writer: Writer) -> None:
    writer.recover()
    writer.append(3)
    other = path.with_name("other")
    other.write_bytes(GARBAGE)
    other.replace(path)
    writer.recover()
    writer.append()
    assert [aside.read_bytes() for aside in set_aside_files(path)] == [GARBAGE]
    assert writer.restores_everything()


@pytest.mark.parametrize("companion", ["-wal", "-shm"])
def test_deleted_wal_or_shm_loses_no_counter(companion: str, path: Path, writer: Writer) -> None:
    writer.recover()
    writer.append(3)
    path.with_name(path.name + companion).unlink()
    writer.recover()
    writer.append()
    writer.recover()
    copy = path.parent.parent / "copy"
    shutil.copytree(path.parent, copy)  # the state of the files after a kill -9
    restored_writer = Writer(copy / path.name)
    assert is_same_state(restored_writer.restored, writer.expected.saved_state())
    restored_writer.journal.close()


@pytest.mark.parametrize("what", ["a file instead of the directory", "a directory instead of the file"])
def test_unavailable_journal_is_logged_once_and_recovers(
    what: str, tmp_path: Path, open_writer: OpenWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """File permissions cannot simulate this, because the tests may run as root."""
    folder = tmp_path / "state"
    path = folder / "journal.sqlite"
    if what == "a directory instead of the file":
        path.mkdir(parents=True)
    else:
        folder.write_text("a file")
    writer = open_writer(path)
    for _ in range(3):
        writer.append()
        writer.recover()
    assert writer.journal.errors >= 4
    assert count_lines(caplog, "journal unavailable") == 1
    path.rmdir() if path.is_dir() else folder.unlink()
    writer.recover()
    writer.append()
    assert messages(path) == ["0", "1", "2", "3"]
    assert count_lines(caplog, "journal recovered") == 1
    assert writer.restores_everything()


def test_disabled_journal_is_logged_and_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    journal = DisabledJournal()
    assert journal.restore() == NOTHING
    journal.append(ChangeBatch())
    journal.recover(lambda: NOTHING)
    journal.close()
    assert (journal.events, journal.errors, journal.size()) == (0, 0, 0)
    assert count_lines(caplog, "journal disabled") == 1


HUGE = 2**70


@pytest.mark.parametrize(
    "bad", [HUGE, "lone \ud800 surrogate", None, object()], ids=["huge", "text", "NULL", "type"]
)
def test_unwritable_value_loses_only_its_own_row(
    bad: object, path: Path, open_writer: OpenWriter, caplog: pytest.LogCaptureFixture
) -> None:
    writer = open_writer(path)
    writer.recover()
    good, unwritable = transition(0), transition(1)._replace(message=bad)  # type: ignore[arg-type]
    for _ in range(2):
        effects = ChangeBatch()
        effects.count_transition(good, good.name)
        effects.transitions.append(unwritable)
        writer.write(effects)
    assert messages(path) == ["0", "0"]
    assert writer.journal.errors == 2
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    writer.append()
    writer.recover()
    assert len(messages(path)) == 3
    assert len(set_aside_files(path)) == 0


class FailingSpanRecorder(SpanRecorder):
    """Raise an error for the first ``times`` batches."""

    def __init__(self, times: int) -> None:
        super().__init__("host", traces=True, logs=True, runs=False)
        self._left = times

    def trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        if self._left:
            self._left -= 1
            raise RuntimeError("injected")
        return super().trace(database, batch)


def test_unwritable_batch_is_counted_as_lost(path: Path) -> None:
    threads = ThreadRegistry()
    journal = Journal(path, span_recorder=FailingSpanRecorder(2), threads=threads)
    expected = ExpectedState()
    expected.load(journal.restore())
    for number in range(3):
        effects = batch([transition(number)])
        expected.apply(effects)
        journal.append(effects)
        journal.recover(expected.saved_state)
    assert messages(path) == ["1", "2"]
    assert (journal.errors, threads.errors[WORKER]) == (1, 1)
    journal.close()
    after = Journal(path)
    assert is_same_state(after.restore(), expected.saved_state())
    after.close()
