"""Following a journal that is replaced, missing for a while, or of a newer version."""

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


def next_nonempty(parts: Iterator[list[Entry]]) -> list[Entry]:
    return next(part for part in parts if part)


def test_replaced_journal_is_followed_from_its_beginning(journal: Journal) -> None:
    append(journal, [change("a"), change("b")])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    assert [entry.transition.name for entry in next(parts)] == ["a", "b"]
    journal.close()
    journal.path.rename(journal.path.with_name("aside"))
    with closing(Journal(journal.path)) as other:
        other.restore()
        append(other, [change("c")])
        assert [entry.transition.name for entry in next_nonempty(parts)] == ["c"]
        append(other, [change("d")])
        assert [entry.transition.name for entry in next_nonempty(parts)] == ["d"]


def test_missing_journal_is_retried(journal: Journal) -> None:
    append(journal, [change("a")])
    journal.close()
    aside, errors, waits = journal.path.with_name("aside"), list[str](), list[int]()

    def wait() -> None:
        waits.append(1)
        if len(waits) == 3:
            aside.rename(journal.path)

    parts = follow(History(journal.path), EVERYTHING, Position("", 0), wait, errors.append)
    journal.path.rename(aside)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert errors == [f"no journal at {journal.path}"]


def test_newer_schema_ends_the_follower(journal: Journal) -> None:
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    next(parts)
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerError):
        next(parts)


def test_failure_waits_for_its_evidence_and_keeps_the_order(journal: Journal) -> None:
    append(journal, [change("a"), change("b", "stopped", "crashed", time.time()), change("c")])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    assert [entry.transition.name for entry in next(parts)] == ["a"]
    assert next(parts) == []
    with closing(sqlite3.connect(journal.path)) as database, database:
        database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'b'")
    found = [(entry.transition.name, entry.transition.message) for entry in next(parts)]
    assert found == [("b", "signal 9"), ("c", "")]


def test_only_a_recent_failure_waits_for_evidence(journal: Journal) -> None:
    append(journal, [change("old", "stopped", "crashed"), change("new", "stopped", "crashed", time.time())])
    parts = follow(History(journal.path), EVERYTHING, Position("", 0), lambda: None, pytest.fail)
    began = time.monotonic()
    found = [next(entry.transition.name for entry in part) for part in (next(parts), next_nonempty(parts))]
    assert found == ["old", "new"]
    assert time.monotonic() - began >= EVIDENCE_WAIT
