"""Reading the journal does not change it."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.cli.follow import follow, read_range
from libvirt_lifecycle_exporter.cli.selectors import parse_domain_pattern
from libvirt_lifecycle_exporter.journal import history as history_module
from libvirt_lifecycle_exporter.journal.history import (
    PAGE_SIZE,
    History,
    MissingError,
    NewerError,
    Position,
    UnreadableError,
)
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.journal.store import Journal
from tests.journal.journal_fixture import HERE, append, change

EVERYTHING = Selection()


def read(path: Path, selection: Selection = EVERYTHING, limit: int | None = None) -> list[str]:
    history = History(path)
    parts = read_range(history, selection, history.entry_range(selection, limit))
    return [entry.transition.name for part in parts for entry in part]


def files(path: Path) -> dict[str, bytes]:
    """Return the content of all files beside a journal, without that of the index of the WAL."""
    return {one.name: b"" if one.name.endswith("-shm") else one.read_bytes() for one in path.parent.iterdir()}


def leave_unfinished(path: Path) -> None:
    """Run a writer that ends without closing: its last row is only in the WAL."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tests.journal.journal_fixture import JournalFixture, change\n"
        "JournalFixture(Path(sys.argv[1])).write(change('last')); os._exit(0)"
    )
    subprocess.run(
        [sys.executable, "-c", script, path], check=True, timeout=60, cwd=Path(__file__).parents[2]
    )


def test_appended_rows_are_read_while_the_writer_is_open(journal: Journal) -> None:
    append(journal, [change("a"), change("b")])
    assert read(journal.path) == ["a", "b"]
    append(journal, [change("c")])
    assert read(journal.path) == ["a", "b", "c"]


def test_range_spans_many_pages(journal: Journal) -> None:
    expected = [f"vm-{number}" for number in range(2 * PAGE_SIZE + 1)]
    append(journal, [change(name) for name in expected])
    assert read(journal.path) == expected
    assert read(journal.path, limit=PAGE_SIZE + 1) == expected[PAGE_SIZE:]


def test_selections_filter_the_rows(journal: Journal) -> None:
    append(
        journal,
        [
            change("web-1", at=100),
            change("web-2", "stopped", "crashed", at=200),
            change("db", "stopped", "crashed", at=300, connection="other"),
            change("web-1", "stopped", "saved", at=400),
        ],
    )
    path = journal.path
    assert read(path, Selection(columns={"event": ("stopped",)})) == ["web-2", "db", "web-1"]
    assert read(path, Selection(columns={"event": ("stopped",), "reason": ("crashed",)})) == ["web-2", "db"]
    assert read(path, Selection(columns={"connection": ("other",)})) == ["db"]
    assert read(path, Selection(parse_domain_pattern("web-."))) == ["web-1", "web-2", "web-1"]
    assert read(path, Selection(parse_domain_pattern("web"))) == []
    assert read(path, Selection(since=300)) == ["db", "web-1"]
    assert read(path, Selection(parse_domain_pattern("web-."), since=150), limit=1) == ["web-1"]
    assert read(path, Selection(since=500), limit=3) == []
    assert read(path, limit=0) == []
    assert History(path).connections() == ["other", HERE]


def test_clock_that_stepped_back_hides_no_row(journal: Journal) -> None:
    append(journal, [change("a", at=500), change("b", at=100), change("c", at=600)])
    assert read(journal.path, Selection(since=400)) == ["a", "c"]


def test_reading_a_closed_journal_changes_no_file(journal: Journal) -> None:
    append(journal, [change()])
    journal.close()
    before = files(journal.path)
    assert read(journal.path) == ["web"]
    assert files(journal.path) == before


def test_reading_after_a_killed_writer_changes_no_file(journal: Journal) -> None:
    journal.close()
    leave_unfinished(journal.path)
    before = files(journal.path)
    assert "journal.sqlite-wal" in before
    assert read(journal.path) == ["last"]
    assert files(journal.path) == before


def test_wal_without_its_index_is_refused_and_unchanged(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()
    leave_unfinished(journal.path)
    journal.path.with_name("journal.sqlite-shm").unlink()
    monkeypatch.setattr(history_module, "_FILE_TIMEOUT", 0.0)
    before = files(journal.path)
    with pytest.raises(UnreadableError, match="without changing it"):
        read(journal.path)
    assert files(journal.path) == before


def test_readers_do_not_block_a_checkpoint(journal: Journal) -> None:
    append(journal, [change()])
    history = History(journal.path)
    parts = follow(history, EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    next(parts)
    with closing(sqlite3.connect(journal.path)) as database:
        busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_page_is_read_again_if_a_writer_opens_the_file(journal: Journal) -> None:
    append(journal, [change("a")])
    journal.close()
    came: list[Journal] = []

    def matches_name(_: str) -> bool:
        if not came:
            came.append(Journal(journal.path))
            came[0].restore()
            append(came[0], [change("b")])
        return True

    history = History(journal.path)
    page = history.page(Selection(matches_name), Position("", 0))
    assert [entry.transition.name for entry in page.entries] == ["a", "b"]
    came[0].close()


def test_interrupt_during_a_query_is_raised(journal: Journal) -> None:
    append(journal, [change()])

    def interrupted(_: str) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(journal.path, Selection(interrupted))


def test_newly_created_journal_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.touch()
    assert read(path) == []
    assert History(path).connections() == []
    assert History(path).incidents(EVERYTHING, only_open=False) == []


def test_unreadable_files_have_different_errors(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with pytest.raises(MissingError, match=f"no journal at {path}"):
        read(path)
    with pytest.raises(UnreadableError, match="is not a regular file"):
        read(tmp_path)
    path.write_text("plain text that is longer than the header of an SQLite database file " * 20)
    with pytest.raises(UnreadableError, match="not an SQLite file"):
        read(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (day)")
        with pytest.raises(UnreadableError, match="another SQLite database"):
            read(path)


@pytest.mark.parametrize(
    ("version", "kind", "words"), [(99, NewerError, "newer"), (0, UnreadableError, "older")]
)
def test_journal_of_another_schema_version_is_refused(
    journal: Journal, version: int, kind: type[UnreadableError], words: str
) -> None:
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(kind, match=words):
            read(journal.path)


def test_damaged_journal_is_refused(journal: Journal) -> None:
    append(journal, [change(f"vm-{number}") for number in range(5000)])
    journal.close()
    with journal.path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 200 * 4096)
    with pytest.raises(UnreadableError, match="damaged"):
        read(journal.path)
