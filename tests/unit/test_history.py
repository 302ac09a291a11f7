"""Reading the journal without touching it, and what is made of what was read."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.effects import Effects
from libvirt_lifecycle_exporter.history_cli.follow import EVIDENCE_WAIT, endless, finished
from libvirt_lifecycle_exporter.history_cli.outputs import widths
from libvirt_lifecycle_exporter.history_cli.spelling import harmless, lasting, one_line, utc
from libvirt_lifecycle_exporter.history_cli.views import Column, is_failure, note
from libvirt_lifecycle_exporter.history_cli.words import EVENTS, REASONS, names, one_of
from libvirt_lifecycle_exporter.journal import history as room
from libvirt_lifecycle_exporter.journal.history import (
    PAGE,
    History,
    MissingError,
    NewerError,
    Place,
    Selection,
    UnreadableError,
)
from libvirt_lifecycle_exporter.journal.rows import Entry
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.transition import Transition
from libvirt_lifecycle_exporter.vocabulary import ALERT_PAIRS, ALL_PAIRS, EXPLAINED

HERE = "qemu:///system"
EVERYTHING = Selection()


def change(
    name: str = "web", event: str = "started", reason: str = "booted", at: float = 1000.0, **rest: str
) -> Transition:
    fields = {"connection": HERE, "detail": reason, "source": "callback"} | rest
    return Transition(
        at=at,
        uuid=f"uuid-{name}",
        name=name,
        domain_id=1,
        event=event,
        reason=reason,
        detail_code=0,
        **fields,
    )


def append(journal: Journal, changes: Iterable[Transition]) -> None:
    effects = Effects()
    for one in changes:
        effects.count(one)
    journal.append(effects)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "state" / "journal.sqlite")
    journal.restore()
    yield journal
    journal.close()


def read(path: Path, selection: Selection = EVERYTHING, limit: int | None = None) -> list[str]:
    history = History(path)
    parts = finished(history, selection, history.span(selection, limit))
    return [entry.transition.name for part in parts for entry in part]


def files(path: Path) -> dict[str, bytes]:
    """All files beside a journal, but for the index, which only says where in the log things are."""
    return {one.name: b"" if one.name.endswith("-shm") else one.read_bytes() for one in path.parent.iterdir()}


def later(parts: Iterator[list[Entry]]) -> list[Entry]:
    return next(part for part in parts if part)


def leave_unfinished(path: Path) -> None:
    """A writer that dies without closing: its last words are in the log alone."""
    script = (
        "import os, sys; from pathlib import Path; from tests.unit.test_history import *\n"
        "journal = Journal(Path(sys.argv[1])); journal.restore(); append(journal, [change('last')])\n"
        "os._exit(0)"
    )
    subprocess.run(
        [sys.executable, "-c", script, path], check=True, timeout=60, cwd=Path(__file__).parents[2]
    )


def test_what_was_appended_is_read_while_the_writer_has_it_open(journal: Journal) -> None:
    append(journal, [change("a"), change("b")])
    assert read(journal.path) == ["a", "b"]
    append(journal, [change("c")])
    assert read(journal.path) == ["a", "b", "c"]


def test_many_pages_are_one_history(journal: Journal) -> None:
    expected = [f"vm-{number}" for number in range(2 * PAGE + 1)]
    append(journal, [change(name) for name in expected])
    assert read(journal.path) == expected
    assert read(journal.path, limit=PAGE + 1) == expected[PAGE:]


def test_selections_narrow(journal: Journal) -> None:
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
    assert read(path, Selection(among={"event": ("stopped",)})) == ["web-2", "db", "web-1"]
    assert read(path, Selection(among={"event": ("stopped",), "reason": ("crashed",)})) == ["web-2", "db"]
    assert read(path, Selection(among={"connection": ("other",)})) == ["db"]
    assert read(path, Selection(names("web-."))) == ["web-1", "web-2", "web-1"]
    assert read(path, Selection(names("web"))) == []
    assert read(path, Selection(since=300)) == ["db", "web-1"]
    assert read(path, Selection(names("web-."), since=150), limit=1) == ["web-1"]
    assert read(path, Selection(since=500), limit=3) == []
    assert read(path, limit=0) == []
    assert History(path).connections() == ["other", HERE]


def test_a_clock_that_stepped_back_hides_nothing(journal: Journal) -> None:
    append(journal, [change("a", at=500), change("b", at=100), change("c", at=600)])
    assert read(journal.path, Selection(since=400)) == ["a", "c"]


def test_reading_changes_nothing_once_the_writer_has_ended(journal: Journal) -> None:
    append(journal, [change()])
    journal.close()
    before = files(journal.path)
    assert read(journal.path) == ["web"]
    assert files(journal.path) == before


def test_reading_what_a_killed_writer_left_changes_nothing(journal: Journal) -> None:
    journal.close()
    leave_unfinished(journal.path)
    before = files(journal.path)
    assert "journal.sqlite-wal" in before
    assert read(journal.path) == ["last"]
    assert files(journal.path) == before


def test_a_log_without_its_index_is_refused_and_stays(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()
    leave_unfinished(journal.path)
    journal.path.with_name("journal.sqlite-shm").unlink()
    monkeypatch.setattr(room, "_PATIENCE", 0.0)
    before = files(journal.path)
    with pytest.raises(UnreadableError, match="cannot be read without changing it"):
        read(journal.path)
    assert files(journal.path) == before


def test_readers_do_not_keep_the_writer_from_its_log(journal: Journal) -> None:
    append(journal, [change()])
    history = History(journal.path)
    parts = endless(history, EVERYTHING, Place("", 0), lambda: None, pytest.fail)
    next(parts)
    with closing(sqlite3.connect(journal.path)) as database:
        busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_a_writer_that_comes_while_a_quiet_file_is_read_makes_it_be_read_again(journal: Journal) -> None:
    append(journal, [change("a")])
    journal.close()
    came: list[Journal] = []

    def passes(_: str) -> bool:
        if not came:
            came.append(Journal(journal.path))
            came[0].restore()
            append(came[0], [change("b")])
        return True

    history = History(journal.path)
    page = history.page(Selection(passes), Place("", 0))
    assert [entry.transition.name for entry in page.entries] == ["a", "b"]
    came[0].close()


def test_an_interrupt_in_the_middle_of_a_question_is_not_lost(journal: Journal) -> None:
    append(journal, [change()])

    def interrupted(_: str) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(journal.path, Selection(interrupted))


def test_a_journal_that_has_only_just_been_created_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.touch()
    assert read(path) == []
    assert History(path).connections() == []
    assert History(path).incidents(EVERYTHING, only_open=False) == []


def test_what_cannot_be_read_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with pytest.raises(MissingError, match=f"no journal at {path}"):
        read(path)
    with pytest.raises(UnreadableError, match="is no file"):
        read(tmp_path)
    path.write_text("my holiday diary, which is long enough to be read as the header of a database " * 20)
    with pytest.raises(UnreadableError, match="no SQLite file"):
        read(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE holidays (day)")
        with pytest.raises(UnreadableError, match="no journal of this exporter"):
            read(path)


@pytest.mark.parametrize(
    ("version", "kind", "words"), [(99, NewerError, "newer"), (0, UnreadableError, "older")]
)
def test_another_releases_journal_is_refused(
    journal: Journal, version: int, kind: type[UnreadableError], words: str
) -> None:
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(kind, match=words):
            read(journal.path)


def test_a_damaged_journal_is_refused(journal: Journal) -> None:
    append(journal, [change(f"vm-{number}") for number in range(5000)])
    journal.close()
    with journal.path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 200 * 4096)
    with pytest.raises(UnreadableError, match="damaged"):
        read(journal.path)


def test_a_journal_that_is_replaced_is_read_on_from_its_beginning(journal: Journal) -> None:
    append(journal, [change("a"), change("b")])
    parts = endless(History(journal.path), EVERYTHING, Place("", 0), lambda: None, pytest.fail)
    assert [entry.transition.name for entry in next(parts)] == ["a", "b"]
    journal.close()
    journal.path.rename(journal.path.with_name("aside"))
    with closing(Journal(journal.path)) as other:
        other.restore()
        append(other, [change("c")])
        assert [entry.transition.name for entry in later(parts)] == ["c"]
        append(other, [change("d")])
        assert [entry.transition.name for entry in later(parts)] == ["d"]


def test_a_journal_that_is_gone_for_a_while_is_waited_for(journal: Journal) -> None:
    append(journal, [change("a")])
    journal.close()
    aside, complaints, rests = journal.path.with_name("aside"), list[str](), list[int]()

    def rest() -> None:
        rests.append(1)
        if len(rests) == 3:
            aside.rename(journal.path)

    parts = endless(History(journal.path), EVERYTHING, Place("", 0), rest, complaints.append)
    journal.path.rename(aside)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert complaints == [f"there is no journal at {journal.path}"]


def test_a_followed_journal_of_a_newer_release_is_the_end(journal: Journal) -> None:
    parts = endless(History(journal.path), EVERYTHING, Place("", 0), lambda: None, pytest.fail)
    next(parts)
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerError):
        next(parts)


def test_a_failure_waits_for_its_evidence_and_holds_back_what_follows(journal: Journal) -> None:
    append(journal, [change("a"), change("b", "stopped", "crashed", time.time()), change("c")])
    parts = endless(History(journal.path), EVERYTHING, Place("", 0), lambda: None, pytest.fail)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert next(parts) == []
    with closing(sqlite3.connect(journal.path)) as database, database:
        database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'b'")
    found = [(entry.transition.name, entry.transition.message) for entry in next(parts)]
    assert found == [("b", "signal 9"), ("c", "")]


def test_a_failure_without_evidence_waits_a_while_and_an_old_one_not_at_all(journal: Journal) -> None:
    append(journal, [change("old", "stopped", "crashed"), change("new", "stopped", "crashed", time.time())])
    parts = endless(History(journal.path), EVERYTHING, Place("", 0), lambda: None, pytest.fail)
    began = time.monotonic()
    found = [next(entry.transition.name for entry in part) for part in (next(parts), later(parts))]
    assert found == ["old", "new"]
    assert time.monotonic() - began >= EVIDENCE_WAIT


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_harmless_prints(text: str) -> None:
    assert harmless(text).isprintable()
    assert one_line(text).isprintable()


def test_ordinary_names_are_spelled_as_they_are() -> None:
    for name in ("web-1", "[red]", "a b", "žluťoučký", "🐎", "back\\slash"):
        assert harmless(name) == name
    assert harmless("a\x1b[31m\n\u202eb\x9b") == r"a\x1b[31m\n\u202eb\x9b"
    assert one_line("two\n  lines\x1b") == r"two lines\x1b"


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (-3, "0s"), (59.6, "1m 0s"), (192, "3m 12s"), (3600, "1h 0m"), (187_300, "2d 4h")],
)
def test_durations_have_two_units(seconds: float, spelled: str) -> None:
    assert lasting(seconds) == spelled


def test_times_are_spelled_in_utc() -> None:
    assert utc(1_700_000_000.1234) == "2023-11-14T22:13:20.123Z"


def test_a_note_says_what_differs_from_the_usual() -> None:
    assert note(change()) == ""
    odd = change(reason="crashed", detail="failed", source="reconcile", message="signal 9\nof pid 1")
    assert note(odd) == "libvirt: failed; source: reconcile; signal 9 of pid 1"


def test_what_alerts_is_a_failure() -> None:
    for event, reason in ALERT_PAIRS:
        assert is_failure(change(event=event, reason=reason))
    assert not is_failure(change(event="stopped", reason="shutdown"))


def test_all_words_that_a_journal_can_hold_may_be_asked_for() -> None:
    for event, reason in [*ALL_PAIRS, *EXPLAINED, ("hung", "vcpu"), ("stopped", "unknown")]:
        assert one_of("event", EVENTS)(event) == event
        assert one_of("reason", REASONS)(reason) == reason
    assert one_of("reason", REASONS)("unknown_17") == "unknown_17"
    for wrong in ("crashd", "unknown_", "unknown_x", "Started"):
        with pytest.raises(ValueError, match="is no event; there are defined, undefined"):
            one_of("event", EVENTS)(wrong)


COLUMNS = (Column("A", 4), Column("B", 4, gives=True), Column("C", 4, gives=True), Column("D", 10))


def test_columns_share_the_room() -> None:
    rows = [["x" * 6, "y" * 40, "z" * 20, "long " * 9]]
    assert widths(COLUMNS, rows, None) == [6, 40, 20, 45]
    assert widths(COLUMNS, rows, 200) == [6, 40, 20, 128]
    assert widths(COLUMNS, rows, 60) == [6, 19, 19, 10]
    assert widths(COLUMNS, rows, 10) == [6, 10, 10, 10]
    assert widths(COLUMNS, [], 80) == [4, 4, 4, 62]
