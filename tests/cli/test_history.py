"""``events`` and ``incidents`` as an operator types them, beside a writer of the same journal."""

import csv
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from libvirt_lifecycle_exporter.effects import Effects
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.transition import Transition

COMMAND = [sys.executable, "-m", "libvirt_lifecycle_exporter"]
VARIABLE = "LIBVIRT_LIFECYCLE_EXPORTER_JOURNAL_PATH"
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("LIBVIRT_LIFECYCLE_EXPORTER") and name not in ("COLUMNS", "STATE_DIRECTORY")
} | {"TZ": "Europe/Prague"}
HERE = "qemu:///system"
NOON = 1_700_000_000.0
"""2023-11-14T22:13:20Z, 23:13:20 in Prague"""
HOSTILE = ("[red]x[/red]", "a\nb", "\x1b[31mred\x1b]0;title\x07", "\x9b2J", "evil\u202etxt.exe", "\x7f\r\x00")
ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=CLEAN | variables
    )


def change(
    name: str, event: str = "started", reason: str = "booted", at: float = NOON, **rest: str
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


class Scribe:
    """Writes a journal as the exporter does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.journal.restore()

    def write(self, *changes: Transition) -> None:
        effects = Effects()
        for one in changes:
            effects.count(one)
        self.journal.append(effects)

    def incident(
        self,
        name: str,
        kind: str,
        opened_at: float,
        closed_at: float | None = None,
        *,
        connection: str = HERE,
        cause: str = "stopped/crashed",
    ) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(
                "INSERT INTO incidents (id, connection, uuid, name, kind, cause, opened_at, closed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"{name}0123456789",
                    connection,
                    f"uuid-{name}",
                    name,
                    kind,
                    cause,
                    opened_at,
                    closed_at,
                ),
            )

    def ask(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **({VARIABLE: str(self.path)} | variables))

    def told(self, *arguments: str) -> list[dict[str, Any]]:
        said = self.ask(*arguments, "--output", "json")
        assert (said.returncode, said.stderr) == (0, "")
        return [json.loads(line) for line in said.stdout.splitlines()]

    def names(self, *arguments: str) -> list[str]:
        return [told["name"] for told in self.told(*arguments)]

    @contextmanager
    def follow(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*COMMAND, "events", "--follow", "--journal.path", str(self.path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def scribe(tmp_path: Path) -> Iterator[Scribe]:
    scribe = Scribe(tmp_path / "journal.sqlite")
    yield scribe
    scribe.journal.close()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def next_name(process: subprocess.Popen[str]) -> Any:
    return json.loads(line(process))["name"]


def refused(said: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence."""
    assert (said.returncode, said.stdout) == (code, "")
    assert said.stderr.startswith("libvirt-lifecycle-exporter: ")
    assert said.stderr.count("\n") == 1
    return said.stderr


def test_the_table_says_what_an_operator_wants_to_know(scribe: Scribe) -> None:
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


def test_the_connection_is_told_where_there_are_several(scribe: Scribe) -> None:
    scribe.write(change("web"), change("db", connection="node-2"))
    assert "CONNECTION" in scribe.ask("events").stdout
    assert "node-2" in scribe.ask("events").stdout
    assert "CONNECTION" not in scribe.ask("events", "--connection", "node-2").stdout


def test_json_is_all_there_is(scribe: Scribe) -> None:
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


def test_csv_has_a_header_and_the_same_fields(scribe: Scribe) -> None:
    scribe.write(change('say "hi", web'))
    said = scribe.ask("events", "--output", "csv")
    (row,) = csv.DictReader(io.StringIO(said.stdout))
    assert row == {name: str(value) for name, value in scribe.told("events")[0].items()}


def test_events_are_selected(scribe: Scribe) -> None:
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


def test_incidents_are_told_and_selected(scribe: Scribe) -> None:
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
def test_nothing_is_a_sentence_beside_the_table(scribe: Scribe, command: str) -> None:
    said = scribe.ask(command)
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr == f"nothing in {scribe.path} fits\n"
    assert scribe.ask(command, "--output", "json").stderr == ""
    assert scribe.ask(command, "--output", "csv").stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["events", "--event", "crashd"], '"crashd" is no event; there are defined, undefined, started'),
        (["events", "--reason", "boring"], '"boring" is no reason; there are added, updated'),
        (["events", "--domain", "("], '"(" is no regular expression'),
        (["events", "--since", "1 day"], "is no duration"),
        (["events", "--limit", "-1"], "--limit"),
        (["events", "--output", "xml"], "'table', 'json', 'csv'"),
        (["events", "--connection", "node"], f'no connection "node" is in the journal; there are {HERE}'),
        (["incidents", "--kind", "boring"], "'crashed', 'hung', 'io_error', 'failed'"),
        (["incidents", "--connection", "node"], f"there are {HERE}"),
        (["events", "--journal.path", "none"], "there is no journal, so there is no history"),
    ],
)
def test_a_bad_question_gets_one_sentence(scribe: Scribe, arguments: list[str], words: str) -> None:
    scribe.write(change("web"))
    assert words in refused(scribe.ask(*arguments), 2)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_missing_journal_is_said_to_be_missing_and_is_not_created(
    tmp_path: Path, follow: list[str]
) -> None:
    said = refused(run("events", *follow, XDG_STATE_HOME=str(tmp_path)), 1)
    assert f"no journal at {tmp_path}/libvirt-lifecycle-exporter/journal.sqlite" in said
    assert "--journal.path" in said
    assert VARIABLE in said
    assert list(tmp_path.iterdir()) == []


def test_the_journal_is_where_the_exporter_keeps_it(scribe: Scribe) -> None:
    scribe.write(change("web"))
    folder, path = str(scribe.path.parent), str(scribe.path)
    for said in (
        run("events", STATE_DIRECTORY=folder),
        run("events", "--journal.path", path),
        run("--journal.path", path, "events"),
        run("events", **{VARIABLE: path}),
    ):
        assert "web" in said.stdout


def test_other_files_are_no_journals(scribe: Scribe, tmp_path: Path) -> None:
    assert "is no file" in refused(run("events", "--journal.path", str(tmp_path)), 1)
    diary = tmp_path / "diary"
    diary.write_text("holidays " * 1000)
    assert "no SQLite file" in refused(run("events", "--journal.path", str(diary)), 1)
    with closing(sqlite3.connect(scribe.path)) as database:
        database.execute("PRAGMA user_version = 99")
    assert "a newer release wrote" in refused(scribe.ask("events"), 1)


POWERS = "-dac_override,-dac_read_search"
HUMBLE = ["setpriv", f"--bounding-set={POWERS}", f"--inh-caps={POWERS}"] if os.getuid() == 0 else []
"""Root has to give up what opens everything to it."""


def humble(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HUMBLE, *COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=CLEAN
    )


@pytest.mark.parametrize("hidden", ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"])
def test_a_user_who_may_not_read_it_is_told_so(scribe: Scribe, hidden: str) -> None:
    scribe.write(change("web"))
    path = scribe.path.with_name(hidden)
    path.chmod(0)
    said = refused(humble("events", "--journal.path", str(scribe.path)), 1)
    assert f"this user may not read {path}; ask as its owner, {path.owner()}" in said


def test_a_user_who_may_not_look_into_the_folder_is_told_so(scribe: Scribe) -> None:
    scribe.write(change("web"))
    scribe.path.parent.chmod(0)
    said = humble("events", "--journal.path", str(scribe.path))
    scribe.path.parent.chmod(0o700)
    assert f"this user may not look for the journal in {scribe.path.parent}" in refused(said, 1)


@pytest.mark.parametrize("written", ["now", "before"])
def test_a_folder_that_is_read_only_is_enough(scribe: Scribe, written: str) -> None:
    scribe.write(change("web"))
    if written == "before":
        scribe.journal.close()
    for path in scribe.path.parent.iterdir():
        path.chmod(0o400)
    scribe.path.parent.chmod(0o500)
    said = humble("events", "--journal.path", str(scribe.path))
    scribe.path.parent.chmod(0o700)
    assert (said.returncode, said.stderr) == (0, "")
    assert "web" in said.stdout


def test_hostile_names_do_no_harm(scribe: Scribe) -> None:
    scribe.write(*(change(name, message=name, connection=name) for name in HOSTILE))
    for name in HOSTILE:
        scribe.incident(name, "crashed", NOON, connection=name)
    for command in ("events", "incidents"):
        for output in ("table", "json", "csv"):
            said = scribe.ask(command, "--output", output)
            assert (said.returncode, said.stderr) == (0, "")
            assert not ESCAPES.search(said.stdout)
            assert said.stdout.count("\n") == len(HOSTILE) + (output != "json")
        assert sorted(scribe.names(command)) == sorted(HOSTILE)
        assert "[red]x[/red]" in scribe.ask(command).stdout
        assert r"\x1b[31mred\x1b]0;title\x07" in scribe.ask(command).stdout
    assert not ESCAPES.search(scribe.ask("events", "--connection", "\x1b[31m").stderr)


def on_a_terminal(*arguments: str, columns: int) -> str:
    """What a terminal of that width is sent."""
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=inner, env=CLEAN | {"TERM": "xterm-256color", "COLUMNS": str(columns)}
    ) as process:
        os.close(inner)
        sent = b""
        while True:
            try:
                part = os.read(outer, 65_536)
            except OSError:
                # How Linux spells that the other end is closed.
                break
            sent += part
        assert process.wait(60) == 0
    os.close(outer)
    return sent.decode()


def test_a_terminal_gets_colour_and_lines_that_fit(scribe: Scribe) -> None:
    scribe.write(
        change("n" * 60),
        change("web", "stopped", "crashed", message="a long story " * 9),
        change("\x1b[31m" + "🐎" * 30),
    )
    sent = on_a_terminal("events", "--journal.path", str(scribe.path), columns=100)
    assert "\x1b[31mcrashed" in sent
    plain = re.sub(r"\x1b\[[0-9;]*m", "", sent)
    assert not ESCAPES.search(plain.replace("\r\n", "\n"))
    assert max(map(len, plain.splitlines())) <= 100
    assert sum(text.count("n") for text in plain.splitlines()[1:4]) >= 60
    assert "\x1b" not in scribe.ask("events", FORCE_COLOR="1", TERM="xterm-256color").stdout


def test_a_narrow_pipe_may_be_asked_for(scribe: Scribe) -> None:
    scribe.write(change("n" * 60))
    assert max(map(len, scribe.ask("events", COLUMNS="90").stdout.splitlines())) <= 90
    assert "n" * 60 in scribe.ask("events").stdout


def test_follow_tells_what_is_appended(scribe: Scribe) -> None:
    scribe.write(*(change(f"old-{number}") for number in range(12)))
    with scribe.follow("--output", "json") as process:
        assert [next_name(process) for _ in range(10)] == [f"old-{number}" for number in range(2, 12)]
        for number in range(3):
            scribe.write(change(f"new-{number}"), change(f"newer-{number}"))
            assert [next_name(process), next_name(process)] == [f"new-{number}", f"newer-{number}"]


def test_follow_obeys_the_selection(scribe: Scribe) -> None:
    scribe.write(change("web"))
    with scribe.follow("--output", "json", "--domain", "web", "--event", "stopped") as process:
        scribe.write(change("web"), change("db", "stopped", "saved"), change("web", "stopped", "shutdown"))
        assert json.loads(line(process))["reason"] == "shutdown"


def test_a_followed_table_has_one_header_at_once(scribe: Scribe) -> None:
    with scribe.follow() as process:
        assert line(process).startswith("TIME ")
        scribe.write(change("web"))
        assert "web" in line(process)
        scribe.write(change("db"))
        assert "db" in line(process)


def test_follow_waits_for_the_evidence(scribe: Scribe) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        scribe.write(change("web", "stopped", "crashed", time.time()))
        with closing(sqlite3.connect(scribe.path)) as database, database:
            database.execute("UPDATE transitions SET message = 'signal 9' WHERE name = 'web'")
        assert json.loads(line(process))["message"] == "signal 9"


def test_follow_survives_a_journal_that_is_replaced(scribe: Scribe) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        scribe.journal.close()
        scribe.path.rename(scribe.path.with_name("aside"))
        assert process.stderr is not None
        assert process.stderr.readline() == f"there is no journal at {scribe.path}\n"
        scribe.journal = Journal(scribe.path)
        scribe.journal.restore()
        scribe.write(change("new"))
        assert next_name(process) == "new"


def test_follow_goes_on_while_the_exporter_restarts(scribe: Scribe) -> None:
    scribe.write(change("old"))
    with scribe.follow("--output", "json") as process:
        assert next_name(process) == "old"
        for number in range(3):
            scribe.journal.close()
            scribe.journal = Journal(scribe.path)
            scribe.journal.restore()
            scribe.write(change(f"new-{number}"))
            assert next_name(process) == f"new-{number}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follow_ends_when_it_is_told_to(scribe: Scribe, number: signal.Signals) -> None:
    scribe.write(change("web"))
    with scribe.follow() as process:
        line(process)
        process.send_signal(number)
        _, complaint = process.communicate(timeout=10)
        assert (process.returncode, complaint) == (0, "")


def test_follow_ends_when_nobody_reads_it_any_more(scribe: Scribe) -> None:
    scribe.write(change("web"))
    with scribe.follow() as process:
        line(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_a_reader_that_has_had_enough_is_no_error(scribe: Scribe) -> None:
    scribe.write(*(change(f"vm-{number}") for number in range(5000)))
    said = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *COMMAND, "events"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN | {VARIABLE: str(scribe.path)},
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("TIME ")


def test_a_full_disk_is_one_sentence(scribe: Scribe) -> None:
    scribe.write(change("web"))
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [*COMMAND, "events", "--journal.path", str(scribe.path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=CLEAN,
        )
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "No space left" in said.stderr


@pytest.mark.parametrize("command", ["events", "incidents"])
def test_help_names_the_journals_flag_and_no_other_of_the_exporter(command: str) -> None:
    said = run(command, "--help", COLUMNS="200").stdout
    assert "--journal.path" in said
    assert VARIABLE in said
    assert "--libvirt.uri" not in said
