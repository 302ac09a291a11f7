"""Exporter processes with a faulty journal: the exporter counts, logs the cause once and recovers."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.schema import VERSION
from tests.journal.counted_domain import CountedDomain, StartExporter, wait_recovered
from tests.journal.exporter_with_journal import ERRORS, EVENTS
from tests.journal.values import messages, set_aside_files


def history(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT count(*) FROM transitions WHERE name = ? AND event = 'stopped'"
        return int(database.execute(query, (name,)).fetchone()[0])


def test_exporter_recreates_deleted_directory(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    path = tmp_path / "state/journal.sqlite"
    exporter = start_exporter(path)
    counted_domain.cycle(exporter)
    shutil.rmtree(path.parent)
    wait_recovered(exporter)
    assert exporter.figure(ERRORS) == 1
    assert exporter.log_count("deleted or replaced") == 1
    counted_domain.cycle(exporter)
    exporter.kill()
    exporter.again()
    assert counted_domain.stop_count(exporter) == 2
    assert history(path, counted_domain.name) == 1


@pytest.mark.parametrize("where", [0, 20_000], ids=["header", "middle"])
def test_exporter_sets_corrupt_journal_aside(
    where: int, start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    exporter = start_exporter(path)
    counted_domain.cycle(exporter)
    exporter.stop()
    with path.open("r+b") as file:
        file.seek(where)
        file.write(b"garbage" * 10_000)
    corrupt = path.read_bytes()
    exporter.again()
    counted_domain.cycles = 0
    counted_domain.cycle(exporter)
    assert exporter.figure(ERRORS) >= 1
    assert exporter.log_count("journal corrupt") == 1
    assert [aside.read_bytes() for aside in set_aside_files(path)] == [corrupt]
    exporter.wait_until(lambda: exporter.figure(EVENTS), what="the new journal")
    exporter.kill()
    exporter.again()
    assert counted_domain.stop_count(exporter) == 1


def test_exporter_leaves_newer_journal_unchanged(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    exporter = start_exporter(path)
    counted_domain.cycle(exporter)
    errors = exporter.figure(ERRORS)
    exporter.wait_until(lambda: exporter.figure(ERRORS) > errors + 2, what="further attempts")
    assert exporter.log_count(f"version {VERSION + 1}") == 1
    assert path.read_bytes() == before
    assert set_aside_files(path) == []


def test_second_exporter_waits_for_the_journal_lock(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    path = tmp_path / "journal.sqlite"
    first = start_exporter(path)
    second = start_exporter(path)
    counted_domain.cycle(first, second)
    assert first.figure(ERRORS) == 0
    assert second.figure(ERRORS) > 0
    assert second.log_count("another process") == 1
    first.kill()
    wait_recovered(second)
    counted_domain.cycle(second)
    second.kill()
    second.again()
    assert counted_domain.stop_count(second) == 2
    first.start()  # the fixture stops it; the second exporter holds the journal
    first.wait_ready()


def test_exporter_recovers_when_directory_can_be_created(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file")
    exporter = start_exporter(folder / "journal.sqlite")
    counted_domain.cycle(exporter)
    assert exporter.figure(ERRORS) > 0
    assert exporter.log_count("journal unavailable") == 1
    folder.unlink()
    wait_recovered(exporter)
    exporter.kill()
    exporter.again()
    assert counted_domain.stop_count(exporter) == 1
    assert exporter.figure(EVENTS) == len(messages(folder / "journal.sqlite"))


def test_exporter_runs_without_journal(start_exporter: StartExporter, counted_domain: CountedDomain) -> None:
    exporter = start_exporter("none")
    counted_domain.cycle(exporter)
    assert exporter.log_count("journal disabled") == 1
    assert exporter.figure(ERRORS) == exporter.figure(EVENTS) == 0
    exporter.kill()
    exporter.again()
    assert counted_domain.stop_count(exporter) == 0
