"""Values in any letter case, a missing HOME, other encodings and OTEL_* variables."""

import datetime as dt
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND, JOURNAL_VARIABLE, QueryableJournal, error_line, run
from tests.journal.journal_fixture import NOON, change

NAME = "žluť-🐎"
ENCODINGS = (
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LANG": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
)


def start_and_stop(folder: Path, *arguments: str, **variables: str) -> str:
    """Run the exporter until it listens; return its log."""
    process = subprocess.Popen(
        [
            *(*COMMAND, "--libvirt.uri", "test:///default", "--journal.path", f"{folder}/journal.sqlite"),
            *("--web.listen-address", "127.0.0.1:0", *arguments),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=CLEAN_ENVIRONMENT | variables,
    )
    lines = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "listening" in line:
                break
        process.send_signal(signal.SIGTERM)
        lines += process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, "".join(lines)
    return "".join(lines)


@pytest.mark.parametrize("level", ["warn", "WARN", "Warning", "warning"])
def test_log_level_is_accepted_in_any_case_and_as_warn(level: str, tmp_path: Path) -> None:
    result = run(
        "--log.level", level, "check", "--libvirt.uri", "test:///default", STATE_DIRECTORY=str(tmp_path)
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "arguments", [["--log.format", "JSON"], ["--otel.events", "Span"], ["--log.level=INFO"]]
)
def test_choices_are_accepted_in_any_case(arguments: list[str], tmp_path: Path) -> None:
    result = run(*arguments, "check", "--libvirt.uri", "test:///default", STATE_DIRECTORY=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_unknown_log_level_is_refused_with_the_known_ones() -> None:
    assert "'debug', 'info', 'warning', 'error'" in error_line(run("--log.level", "loud"), 2)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_names_are_printed_in_any_encoding(
    journal: QueryableJournal, encoding: dict[str, str], form: str
) -> None:
    journal.write(change(NAME))
    result = subprocess.run(
        [*COMMAND, "events", "--output", form],
        capture_output=True,
        timeout=60,
        check=False,
        env=CLEAN_ENVIRONMENT | {JOURNAL_VARIABLE: str(journal.path)} | encoding,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    if form == "json":
        assert json.loads(result.stdout)["name"] == NAME
    else:
        assert b"\\U0001f40e" in result.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_error_that_names_a_file_is_printed_in_any_encoding(encoding: dict[str, str]) -> None:
    assert "no journal at" in error_line(run("events", "--journal.path", f"/nowhere/{NAME}", **encoding), 1)


@pytest.mark.parametrize("arguments", [["events"], ["incidents"], ["events", "--journal.path", "~/j.sqlite"]])
def test_missing_home_directory_is_reported_in_one_line(arguments: list[str]) -> None:
    """Runs with a user id that is in no user database, as in a container."""
    unknown_user = ["setpriv", "--reuid", "54321", "--clear-groups"] if os.getuid() == 0 else []
    environment = {
        name: value for name, value in CLEAN_ENVIRONMENT.items() if name not in ("HOME", "XDG_STATE_HOME")
    }
    result = subprocess.run(
        [*unknown_user, *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert "HOME" in error_line(result, 1) or not unknown_user


def utc(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat()


def test_events_are_selected_by_date_and_time(journal: QueryableJournal) -> None:
    journal.write(change("early", at=NOON - 86_400), change("noon", at=NOON), change("late", at=NOON + 7200))
    day = utc(NOON)[:10]
    assert journal.names("events", "--since", day) == ["noon", "late"]
    assert journal.names("events", "--until", day) == ["early"]
    assert journal.names("events", "--since", utc(NOON + 1)) == ["late"]
    utc_suffix = utc(NOON).replace("+00:00", "Z")
    assert journal.names("events", "--since", utc_suffix, "--until", utc(NOON + 7200)) == ["noon"]
    assert journal.names("events", "--until", "1h") == ["early", "noon", "late"]


def test_incidents_are_selected_by_date_and_time(journal: QueryableJournal) -> None:
    journal.write(change("web", at=NOON))
    journal.add_incident("closed", "crashed", NOON, NOON + 60)
    journal.add_incident("open", "hung", NOON)
    journal.add_incident("late", "failed", NOON + 7200)
    assert journal.names("incidents", "--until", utc(NOON + 1)) == ["closed", "open"]
    assert journal.names("incidents", "--until", utc(NOON)) == []
    assert journal.names("incidents", "--since", utc(NOON + 61), "--until", utc(NOON + 7201)) == [
        "open",
        "late",
    ]


def test_local_time_applies_without_a_zone(journal: QueryableJournal) -> None:
    journal.write(change("noon", at=NOON))
    local = subprocess.run(
        ["date", "-d", f"@{NOON:.0f}", "+%Y-%m-%dT%H:%M:%S"],
        capture_output=True,
        text=True,
        check=True,
        env=CLEAN_ENVIRONMENT,
    ).stdout.strip()
    assert journal.names("events", "--since", local) == ["noon"]
    assert journal.names("events", "--until", local) == []


@pytest.mark.parametrize("moment", ["2026-13-01", "yesterday", "", "2026-01-31T25:00", "0001-01-01"])
def test_invalid_time_is_refused(journal: QueryableJournal, moment: str) -> None:
    journal.write(change("web"))
    result = journal.query("events", "--since", moment)
    assert "invalid duration or time" in error_line(result, 2) or moment == "0001-01-01"


def test_follow_refuses_until(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    assert "--follow cannot be combined with --until" in error_line(
        journal.query("events", "--follow", "--until", "1h"), 2
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "otlp_proto_http"},
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "deflate"},
        {"OTEL_SDK_DISABLED": "perhaps"},
    ],
)
def test_unknown_otel_value_is_logged_and_the_exporter_runs(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    log = start_and_stop(tmp_path, **endpoint, **variables)
    (name,) = variables
    assert f"{name}: unknown value" in log
    assert "level=warning" in log


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "otlp,console"},
        {"OTEL_LOGS_EXPORTER": "otlp,console"},
        {"OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_EXPORTER": "", "OTEL_SDK_DISABLED": ""},
        {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20YTpi,x-scope=a%2Cb"},
        {"OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb,broken,x=1=2, y = z "},
        {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nosuch"},
    ],
)
def test_known_otel_value_logs_no_warning(tmp_path: Path, variables: dict[str, str]) -> None:
    log = start_and_stop(tmp_path, **{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **variables})
    assert "unknown value" not in log
