"""``events --follow`` while another process writes the same journal."""

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import Any

import pytest

from tests.cli.command import QueryableJournal
from tests.journal.journal_fixture import change


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def next_name(process: subprocess.Popen[str]) -> Any:
    return json.loads(read_line(process))["name"]


def test_follow_prints_appended_events(journal: QueryableJournal) -> None:
    journal.write(*(change(f"old-{number}") for number in range(12)))
    with journal.follow("--output", "json") as process:
        assert [next_name(process) for _ in range(10)] == [f"old-{number}" for number in range(2, 12)]
        for number in range(3):
            journal.write(change(f"new-{number}"), change(f"newer-{number}"))
            assert [next_name(process), next_name(process)] == [f"new-{number}", f"newer-{number}"]


def test_follow_applies_the_selection(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    with journal.follow("--output", "json", "--domain", "web", "--event", "stopped") as process:
        journal.write(change("web"), change("db", "stopped", "saved"), change("web", "stopped", "shutdown"))
        assert json.loads(read_line(process))["reason"] == "shutdown"


def test_follow_prints_one_header_immediately(journal: QueryableJournal) -> None:
    with journal.follow() as process:
        assert read_line(process).startswith("TIME ")
        journal.write(change("web"))
        assert "web" in read_line(process)
        journal.write(change("db"))
        assert "db" in read_line(process)


def test_follow_waits_for_the_message_of_a_crash(journal: QueryableJournal) -> None:
    journal.write(change("old"))
    with journal.follow("--output", "json") as process:
        assert next_name(process) == "old"
        journal.write(change("web", "stopped", "crashed", time.time()))
        with closing(sqlite3.connect(journal.path)) as database, database:
            database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'web'")
        assert json.loads(read_line(process))["message"] == "signal 9"


def test_follow_continues_after_the_journal_is_replaced(journal: QueryableJournal) -> None:
    journal.write(change("old"))
    with journal.follow("--output", "json") as process:
        assert next_name(process) == "old"
        journal.store.close()
        journal.path.rename(journal.path.with_name("aside"))
        assert process.stderr is not None
        assert process.stderr.readline() == f"no journal at {journal.path}\n"
        journal.reopen()
        journal.write(change("new"))
        assert next_name(process) == "new"


def test_follow_continues_while_the_exporter_restarts(journal: QueryableJournal) -> None:
    journal.write(change("old"))
    with journal.follow("--output", "json") as process:
        assert next_name(process) == "old"
        for number in range(3):
            journal.reopen()
            journal.write(change(f"new-{number}"))
            assert next_name(process) == f"new-{number}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follow_stops_on_a_signal(journal: QueryableJournal, number: signal.Signals) -> None:
    journal.write(change("web"))
    with journal.follow() as process:
        read_line(process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")


def test_follow_stops_when_its_output_is_closed(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    with journal.follow() as process:
        read_line(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
