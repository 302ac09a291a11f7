"""A journal that is read on and on, whatever becomes of it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from libvirt_lifecycle_exporter.cli.follow import EVIDENCE_WAIT, follow
from libvirt_lifecycle_exporter.journal.history import (
    History,
    NewerError,
    Position,
)
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.journal.rows import Entry
from libvirt_lifecycle_exporter.journal.store import Journal
from tests.journal.journal_fixture import append, change

EVERYTHING = Selection()


def later(parts: Iterator[list[Entry]]) -> list[Entry]:
    return next(part for part in parts if part)


def test_a_journal_that_is_replaced_is_read_on_from_its_beginning(journal: Journal) -> None:
    append(journal, [change("a"), change("b")])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
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

    parts = follow(History(journal.path), EVERYTHING, Position("", 0), rest, complaints.append)
    journal.path.rename(aside)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert complaints == [f"no journal at {journal.path}"]


def test_a_followed_journal_of_a_newer_release_is_the_end(journal: Journal) -> None:
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    next(parts)
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerError):
        next(parts)


def test_a_failure_waits_for_its_evidence_and_holds_back_what_follows(journal: Journal) -> None:
    append(journal, [change("a"), change("b", "stopped", "crashed", time.time()), change("c")])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert next(parts) == []
    with closing(sqlite3.connect(journal.path)) as database, database:
        database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'b'")
    found = [(entry.transition.name, entry.transition.message) for entry in next(parts)]
    assert found == [("b", "signal 9"), ("c", "")]


def test_a_failure_without_evidence_waits_a_while_and_an_old_one_not_at_all(journal: Journal) -> None:
    append(journal, [change("old", "stopped", "crashed"), change("new", "stopped", "crashed", time.time())])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    began = time.monotonic()
    found = [next(entry.transition.name for entry in part) for part in (next(parts), later(parts))]
    assert found == ["old", "new"]
    assert time.monotonic() - began >= EVIDENCE_WAIT
