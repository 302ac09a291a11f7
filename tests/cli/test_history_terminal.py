"""Output to a terminal, a pipe and a full disk, with any domain names."""

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND, JOURNAL_VARIABLE, QueryableJournal
from tests.journal.journal_fixture import NOON, change

HOSTILE = ("[red]x[/red]", "a\nb", "\x1b[31mred\x1b]0;title\x07", "\x9b2J", "evil\u202etxt.exe", "\x7f\r\x00")


ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def test_control_characters_in_names_are_escaped(journal: QueryableJournal) -> None:
    journal.write(*(change(name, message=name, connection=name) for name in HOSTILE))
    for name in HOSTILE:
        journal.add_incident(name, "crashed", NOON, connection=name)
    for command in ("events", "incidents"):
        for output in ("table", "json", "csv"):
            result = journal.query(command, "--output", output)
            assert (result.returncode, result.stderr) == (0, "")
            assert not ESCAPES.search(result.stdout)
            assert result.stdout.count("\n") == len(HOSTILE) + (output != "json")
        assert sorted(journal.names(command)) == sorted(HOSTILE)
        assert "[red]x[/red]" in journal.query(command).stdout
        assert r"\x1b[31mred\x1b]0;title\x07" in journal.query(command).stdout
    assert not ESCAPES.search(journal.query("events", "--connection", "\x1b[31m").stderr)


def run_in_terminal(*arguments: str, columns: int) -> str:
    """Run the command in a terminal of this width and return its output."""
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=inner,
        env=CLEAN_ENVIRONMENT | {"TERM": "xterm-256color", "COLUMNS": str(columns)},
    ) as process:
        os.close(inner)
        output = b""
        while True:
            try:
                chunk = os.read(outer, 65_536)
            except OSError:
                # Linux reports EIO when the other end is closed.
                break
            output += chunk
        assert process.wait(60) == 0
    os.close(outer)
    return output.decode()


def test_terminal_output_has_colour_and_fits_the_width(journal: QueryableJournal) -> None:
    journal.write(
        change("n" * 60),
        change("web", "stopped", "crashed", message="a long message " * 9),
        change("\x1b[31m" + "🐎" * 30),
    )
    output = run_in_terminal("events", "--journal.path", str(journal.path), columns=100)
    assert "\x1b[31mcrashed" in output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert not ESCAPES.search(plain.replace("\r\n", "\n"))
    assert max(map(len, plain.splitlines())) <= 100
    assert sum(text.count("n") for text in plain.splitlines()[1:4]) >= 60
    assert "\x1b" not in journal.query("events", FORCE_COLOR="1", TERM="xterm-256color").stdout


def test_columns_limits_the_width_of_piped_output(journal: QueryableJournal) -> None:
    journal.write(change("n" * 60))
    assert max(map(len, journal.query("events", COLUMNS="90").stdout.splitlines())) <= 90
    assert "n" * 60 in journal.query("events").stdout


def test_closed_pipe_is_no_error(journal: QueryableJournal) -> None:
    journal.write(*(change(f"vm-{number}") for number in range(5000)))
    result = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *COMMAND, "events"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN_ENVIRONMENT | {JOURNAL_VARIABLE: str(journal.path)},
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("TIME ")


def test_full_disk_is_reported_in_one_line(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    with Path("/dev/full").open("w") as full_device:
        result = subprocess.run(
            [*COMMAND, "events", "--journal.path", str(journal.path)],
            stdout=full_device,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=CLEAN_ENVIRONMENT,
        )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "No space left" in result.stderr
