"""``events`` and ``incidents``: selection and output formats."""

import csv
import io
import re
import time

import pytest

from tests.cli.command import JOURNAL_VARIABLE, QueryableJournal, run
from tests.journal.journal_fixture import HERE, NOON, change


def test_table_shows_time_domain_event_and_note(journal: QueryableJournal) -> None:
    journal.write(
        change("web"),
        change(
            "web", "stopped", "crashed", NOON + 1, detail="failed", message="signal 9\n", incident_id="c" * 16
        ),
        change("database-1", "started", "unknown", NOON + 2, source="reconcile"),
    )
    result = journal.query("events")
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "TIME                 DOMAIN        EVENT      REASON      INCIDENT  NOTE",
        "2023-11-14 23:13:20  web           started    booted",
        "2023-11-14 23:13:21  web           stopped    crashed     cccccccc  libvirt: failed; signal 9",
        "2023-11-14 23:13:22  database-1    started    unknown               source: reconcile",
    ]


def test_connection_column_appears_for_several_connections(journal: QueryableJournal) -> None:
    journal.write(change("web"), change("db", connection="node-2"))
    assert "CONNECTION" in journal.query("events").stdout
    assert "node-2" in journal.query("events").stdout
    assert "CONNECTION" not in journal.query("events", "--connection", "node-2").stdout


def test_json_has_every_field(journal: QueryableJournal) -> None:
    journal.write(change("web", message="why", run_id="r", incident_id="i"))
    assert journal.query_json("events") == [
        {
            "seq": 1,
            "time": "2023-11-14T22:13:20.000Z",
            "at": NOON,
            "connection": HERE,
            "uuid": "uuid-web",
            "name": "web",
            "domain_id": 1,
            "event": "started",
            "reason": "booted",
            "detail": "booted",
            "detail_code": 0,
            "source": "callback",
            "message": "why",
            "run_id": "r",
            "incident_id": "i",
        }
    ]


def test_csv_has_a_header_and_the_same_fields(journal: QueryableJournal) -> None:
    journal.write(change('say "hi", web'))
    result = journal.query("events", "--output", "csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert row == {name: str(value) for name, value in journal.query_json("events")[0].items()}


def test_events_are_selected(journal: QueryableJournal) -> None:
    now = time.time()
    journal.write(
        change("web-1", at=now - 7200),
        change("web-2", "stopped", "crashed", now - 60),
        change("web-10", "stopped", "unknown_17", now - 50),
        change("db", "suspended", "paused", now - 40, connection="node-2"),
    )
    assert journal.names("events") == ["web-1", "web-2", "web-10", "db"]
    assert journal.names("events", "--since", "1h") == ["web-2", "web-10", "db"]
    assert journal.names("events", "--since", "1h", "--limit", "1") == ["db"]
    assert journal.names("events", "--limit", "2") == ["web-10", "db"]
    assert journal.names("events", "--domain", "web-.") == ["web-1", "web-2"]
    assert journal.names("events", "--domain", "web") == []
    assert journal.names("events", "--event", "stopped", "--event", "suspended") == ["web-2", "web-10", "db"]
    assert journal.names("events", "--reason", "crashed", "--reason", "paused") == ["web-2", "db"]
    assert journal.names("events", "--reason", "unknown_17") == ["web-10"]
    assert journal.names("events", "--connection", "node-2") == ["db"]


def test_events_are_selected_by_incident_id_or_prefix(journal: QueryableJournal) -> None:
    whole = ("3bbba48ba11c9047", "3bbba48bffffffff", "c0ffee0000000000")
    journal.write(
        change("web", "crashed", "panicked", incident_id=whole[0]),
        change("other"),
        change("db", "stopped", "crashed", incident_id=whole[1]),
        change("web", "stopped", "crashed", incident_id=whole[0]),
        change("ci", "stopped", "failed", incident_id=whole[2]),
    )
    assert journal.names("events", "--incident", whole[0]) == ["web", "web"]
    assert journal.names("events", "--incident", whole[0], "--event", "stopped") == ["web"]
    assert journal.names("events", "--incident", "3bbba48b") == ["web", "db", "web"]
    assert journal.names("events", "--incident", "3bbba48b", "--limit", "1") == ["web"]
    assert journal.names("events", "--incident", "f") == []


def test_incidents_are_selected_and_printed(journal: QueryableJournal) -> None:
    now = time.time()
    journal.add_incident("web", "crashed", NOON, NOON + 192, cause="by hand")
    journal.add_incident("db", "hung", NOON + 60)
    journal.add_incident("late", "io_error", now - 50, now - 10)
    journal.add_incident("far", "failed", now - 40, connection="node-2")
    assert journal.names("incidents") == ["web", "db", "late", "far"]
    assert journal.names("incidents", "--open") == ["db", "far"]
    assert journal.names("incidents", "--kind", "hung", "--kind", "crashed") == ["web", "db"]
    assert journal.names("incidents", "--since", "1h") == ["db", "late", "far"]
    assert journal.names("incidents", "--domain", "d.") == ["db"]
    assert journal.names("incidents", "--connection", "node-2") == ["far"]
    web, db, *_ = journal.query_json("incidents")
    assert (web["opened"], web["closed"], web["duration"]) == (
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:16:32.000Z",
        192,
    )
    assert (web["cause"], web["opened_at"], web["closed_at"]) == ("by hand", NOON, NOON + 192)
    assert (db["closed"], db["closed_at"]) == (None, None)
    assert db["duration"] > now - NOON - 61
    assert journal.query("incidents", "--kind", "crashed", "--connection", HERE).stdout.splitlines() == [
        "OPENED               CLOSED               DURATION  KIND      DOMAIN        INCIDENT  CAUSE",
        "2023-11-14 23:13:20  2023-11-14 23:16:32  3m 12s    crashed   web           web01234  by hand",
    ]
    assert re.search(
        r"23:14:20  open +[0-9]+d [0-9]+h +hung +db ",
        journal.query("incidents", "--connection", HERE).stdout,
    )


@pytest.mark.parametrize("command", ["events", "incidents"])
def test_empty_result_is_reported_on_stderr(journal: QueryableJournal, command: str) -> None:
    result = journal.query(command)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"no matching entries in {journal.path}\n"
    assert journal.query(command, "--output", "json").stderr == ""
    assert journal.query(command, "--output", "csv").stdout.count("\n") == 1


@pytest.mark.parametrize("command", ["events", "incidents"])
def test_help_lists_only_the_journal_flag_of_the_exporter(command: str) -> None:
    result = run(command, "--help", COLUMNS="200").stdout
    assert "--journal.path" in result
    assert JOURNAL_VARIABLE in result
    assert "--libvirt.uri" not in result
