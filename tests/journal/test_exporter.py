"""The exporter as a process, and its journal in trouble: it counts, says once what is wrong, and heals."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.schema import VERSION
from tests.journal.guest import Guest, Start, well
from tests.journal.mortal import ERRORS, EVENTS
from tests.journal.values import asides, messages


def history(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT count(*) FROM transitions WHERE name = ? AND event = 'stopped'"
        return int(database.execute(query, (name,)).fetchone()[0])


def test_exporter_recreates_deleted_directory(start: Start, guest: Guest, tmp_path: Path) -> None:
    path = tmp_path / "state/journal.sqlite"
    exporter = start(path)
    guest.cycle(exporter)
    shutil.rmtree(path.parent)
    well(exporter)
    assert exporter.figure(ERRORS) == 1
    assert exporter.said("deleted or replaced") == 1
    guest.cycle(exporter)
    exporter.kill()
    exporter.again()
    assert guest.shown(exporter) == 2
    assert history(path, guest.name) == 1


@pytest.mark.parametrize("where", [0, 20_000], ids=["header", "middle"])
def test_exporter_sets_corrupt_journal_aside(where: int, start: Start, guest: Guest, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    exporter = start(path)
    guest.cycle(exporter)
    exporter.stop()
    with path.open("r+b") as file:
        file.seek(where)
        file.write(b"garbage" * 10_000)
    corrupt = path.read_bytes()
    exporter.again()
    guest.cycles = 0
    guest.cycle(exporter)
    assert exporter.figure(ERRORS) >= 1
    assert exporter.said("journal corrupt") == 1
    assert [aside.read_bytes() for aside in asides(path)] == [corrupt]
    exporter.wait_until(lambda: exporter.figure(EVENTS), what="the new journal")
    exporter.kill()
    exporter.again()
    assert guest.shown(exporter) == 1


def test_exporter_leaves_newer_journal_unchanged(start: Start, guest: Guest, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    exporter = start(path)
    guest.cycle(exporter)
    errors = exporter.figure(ERRORS)
    exporter.wait_until(lambda: exporter.figure(ERRORS) > errors + 2, what="further attempts")
    assert exporter.said(f"version {VERSION + 1}") == 1
    assert path.read_bytes() == before
    assert asides(path) == []


def test_second_exporter_waits_for_the_journal_lock(start: Start, guest: Guest, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = start(path)
    second = start(path)
    guest.cycle(first, second)
    assert first.figure(ERRORS) == 0
    assert second.figure(ERRORS) > 0
    assert second.said("another process") == 1
    first.kill()
    well(second)
    guest.cycle(second)
    second.kill()
    second.again()
    assert guest.shown(second) == 2
    first.start()  # so that it can be stopped; it has no journal now
    first.wait_ready()


def test_exporter_recovers_when_directory_can_be_created(start: Start, guest: Guest, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file")
    exporter = start(folder / "journal.sqlite")
    guest.cycle(exporter)
    assert exporter.figure(ERRORS) > 0
    assert exporter.said("journal unavailable") == 1
    folder.unlink()
    well(exporter)
    exporter.kill()
    exporter.again()
    assert guest.shown(exporter) == 1
    assert exporter.figure(EVENTS) == len(messages(folder / "journal.sqlite"))


def test_exporter_runs_without_journal(start: Start, guest: Guest) -> None:
    exporter = start("none")
    guest.cycle(exporter)
    assert exporter.said("journal disabled") == 1
    assert exporter.figure(ERRORS) == exporter.figure(EVENTS) == 0
    exporter.kill()
    exporter.again()
    assert guest.shown(exporter) == 0
