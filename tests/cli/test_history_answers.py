"""``events`` and ``incidents``: what is selected, and how it is written."""

import csv
import io
import re
import time

import pytest

from tests.cli.asking import VARIABLE, Asked, run
from tests.journal.seeding import HERE, NOON, change


def test_table_shows_time_domain_event_and_note(scribe: Asked) -> None:
    scribe.write(
        change("web"),
        change(
            "web", "stopped", "crashed", NOON + 1, detail="failed", message="signal 9\n", incident_id="c" * 16
        ),
        change("database-1", "started", "unknown", NOON + 2, source="reconcile"),
    )
    said = scribe.ask("events")
    assert said.stderr == ""
    assert said.stdout.splitlines() == [
        "TIME                 DOMAIN        EVENT      REASON      INCIDENT  NOTE",
        "2023-11-14 23:13:20  web           started    booted",
        "2023-11-14 23:13:21  web           stopped    crashed     cccccccc  libvirt: failed; signal 9",
        "2023-11-14 23:13:22  database-1    started    unknown               source: reconcile",
    ]


def test_connection_column_appears_for_several_connections(scribe: Asked) -> None:
    scribe.write(change("web"), change("db", connection="node-2"))
    assert "CONNECTION" in scribe.ask("events").stdout
    assert "node-2" in scribe.ask("events").stdout
    assert "CONNECTION" not in scribe.ask("events", "--connection", "node-2").stdout


def test_json_has_every_field(scribe: Asked) -> None:
    scribe.write(change("web", message="why", run_id="r", incident_id="i"))
    assert scribe.told("events") == [
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


def test_csv_has_a_header_and_the_same_fields(scribe: Asked) -> None:
    scribe.write(change('say "hi", web'))
    said = scribe.ask("events", "--output", "csv")
    (row,) = csv.DictReader(io.StringIO(said.stdout))
    assert row == {name: str(value) for name, value in scribe.told("events")[0].items()}


def test_events_are_selected(scribe: Asked) -> None:
    now = time.time()
    scribe.write(
        change("web-1", at=now - 7200),
        change("web-2", "stopped", "crashed", now - 60),
        change("web-10", "stopped", "unknown_17", now - 50),
        change("db", "suspended", "paused", now - 40, connection="node-2"),
    )
    assert scribe.names("events") == ["web-1", "web-2", "web-10", "db"]
    assert scribe.names("events", "--since", "1h") == ["web-2", "web-10", "db"]
    assert scribe.names("events", "--since", "1h", "--limit", "1") == ["db"]
    assert scribe.names("events", "--limit", "2") == ["web-10", "db"]
    assert scribe.names("events", "--domain", "web-.") == ["web-1", "web-2"]
    assert scribe.names("events", "--domain", "web") == []
    assert scribe.names("events", "--event", "stopped", "--event", "suspended") == ["web-2", "web-10", "db"]
    assert scribe.names("events", "--reason", "crashed", "--reason", "paused") == ["web-2", "db"]
    assert scribe.names("events", "--reason", "unknown_17") == ["web-10"]
    assert scribe.names("events", "--connection", "node-2") == ["db"]


def test_events_are_selected_by_incident_id_or_prefix(scribe: Asked) -> None:
    whole = ("3bbba48ba11c9047", "3bbba48bffffffff", "c0ffee0000000000")
    scribe.write(
        change("web", "crashed", "panicked", incident_id=whole[0]),
        change("other"),
        change("db", "stopped", "crashed", incident_id=whole[1]),
        change("web", "stopped", "crashed", incident_id=whole[0]),
        change("ci", "stopped", "failed", incident_id=whole[2]),
    )
    assert scribe.names("events", "--incident", whole[0]) == ["web", "web"]
    assert scribe.names("events", "--incident", whole[0], "--event", "stopped") == ["web"]
    assert scribe.names("events", "--incident", "3bbba48b") == ["web", "db", "web"]
    assert scribe.names("events", "--incident", "3bbba48b", "--limit", "1") == ["web"]
    assert scribe.names("events", "--incident", "f") == []


def test_incidents_are_selected_and_printed(scribe: Asked) -> None:
    now = time.time()
    scribe.incident("web", "crashed", NOON, NOON + 192, cause="by hand")
    scribe.incident("db", "hung", NOON + 60)
    scribe.incident("late", "io_error", now - 50, now - 10)
    scribe.incident("far", "failed", now - 40, connection="node-2")
    assert scribe.names("incidents") == ["web", "db", "late", "far"]
    assert scribe.names("incidents", "--open") == ["db", "far"]
    assert scribe.names("incidents", "--kind", "hung", "--kind", "crashed") == ["web", "db"]
    assert scribe.names("incidents", "--since", "1h") == ["db", "late", "far"]
    assert scribe.names("incidents", "--domain", "d.") == ["db"]
    assert scribe.names("incidents", "--connection", "node-2") == ["far"]
    web, db, *_ = scribe.told("incidents")
    assert (web["opened"], web["closed"], web["duration"]) == (
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:16:32.000Z",
        192,
    )
    assert (web["cause"], web["opened_at"], web["closed_at"]) == ("by hand", NOON, NOON + 192)
    assert (db["closed"], db["closed_at"]) == (None, None)
    assert db["duration"] > now - NOON - 61
    assert scribe.ask("incidents", "--kind", "crashed", "--connection", HERE).stdout.splitlines() == [
        "OPENED               CLOSED               DURATION  KIND      DOMAIN        INCIDENT  CAUSE",
        "2023-11-14 23:13:20  2023-11-14 23:16:32  3m 12s    crashed   web           web01234  by hand",
    ]
    assert re.search(
        r"23:14:20  open +[0-9]+d [0-9]+h +hung +db ", scribe.ask("incidents", "--connection", HERE).stdout
    )


@pytest.mark.parametrize("command", ["events", "incidents"])
def test_empty_result_is_reported_on_stderr(scribe: Asked, command: str) -> None:
    said = scribe.ask(command)
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr == f"no matching entries in {scribe.path}\n"
    assert scribe.ask(command, "--output", "json").stderr == ""
    assert scribe.ask(command, "--output", "csv").stdout.count("\n") == 1


@pytest.mark.parametrize("command", ["events", "incidents"])
def test_help_lists_only_the_journal_flag_of_the_exporter(command: str) -> None:
    said = run(command, "--help", COLUMNS="200").stdout
    assert "--journal.path" in said
    assert VARIABLE in said
    assert "--libvirt.uri" not in said
