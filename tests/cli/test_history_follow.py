"""``events --follow``, beside a writer of the same journal."""

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import Any

import pytest

from tests.cli.asking import Asked
from tests.journal.seeding import change


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def next_name(process: subprocess.Popen[str]) -> Any:
    return json.loads(line(process))["name"]


def test_follow_prints_appended_events(scribe: Asked) -> None:
    scribe.write(*(change(f"old-{number}") for number in range(12)))
    with scribe.follow("--output", "json") as process:
        assert [next_name(process) for _ in range(10)] == [f"old-{number}" for number in range(2, 12)]
        for number in range(3):
            scribe.write(change(f"new-{number}"), change(f"newer-{number}"))
            assert [next_name(process), next_name(process)] == [f"new-{number}", f"newer-{number}"]


def test_follow_applies_the_selection(scribe: Asked) -> None:
    scribe.write(change("web"))
    with scribe.follow("--output", "json", "--domain", "web", "--event", "stopped") as process:
        scribe.write(change("web"), change("db", "stopped", "saved"), change("web", "stopped", "shutdown"))
        assert json.loads(line(process))["reason"] == "shutdown"


def test_follow_prints_one_header_immediately(scribe: Asked) -> None:
    with scribe.follow() as process:
        assert line(process).startswith("TIME ")
        scribe.write(change("web"))
        assert "web" in line(process)
        scribe.write(change("db"))
        assert "db" in line(process)


def test_follow_waits_for_the_message_of_a_crash(scribe: Asked) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        scribe.write(change("web", "stopped", "crashed", time.time()))
        with closing(sqlite3.connect(scribe.path)) as database, database:
            database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'web'")
        assert json.loads(line(process))["message"] == "signal 9"


def test_follow_continues_after_the_journal_is_replaced(scribe: Asked) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        scribe.journal.close()
        scribe.path.rename(scribe.path.with_name("aside"))
        assert process.stderr is not None
        assert process.stderr.readline() == f"no journal at {scribe.path}\n"
        scribe.again()
        scribe.write(change("new"))
        assert next_name(process) == "new"


def test_follow_continues_while_the_exporter_restarts(scribe: Asked) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        for number in range(3):
            scribe.again()
            scribe.write(change(f"new-{number}"))
            assert next_name(process) == f"new-{number}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follow_stops_on_a_signal(scribe: Asked, number: signal.Signals) -> None:
    scribe.write(change("web"))
    with scribe.follow() as process:
        line(process)
        process.send_signal(number)
        _, complaint = process.communicate(timeout=10)
        assert (process.returncode, complaint) == (0, "")


def test_follow_stops_when_its_output_is_closed(scribe: Asked) -> None:
    scribe.write(change("web"))
    with scribe.follow() as process:
        line(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
