"""``events`` and ``incidents``: bad questions, and journals that cannot be found or read."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.asking import CLEAN, COMMAND, HUMBLE, VARIABLE, Asked, refused, run
from tests.journal.seeding import HERE, change


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["events", "--event", "crashd"], 'invalid event "crashd": use one of defined, undefined, started'),
        (["events", "--reason", "boring"], 'invalid reason "boring": use one of added, updated'),
        (["events", "--incident", "web"], 'invalid incident id "web": use an id'),
        (["events", "--domain", "("], 'invalid regular expression "("'),
        (["events", "--since", "1 day"], 'invalid duration or time "1 day"'),
        (["events", "--limit", "-1"], "--limit"),
        (["events", "--output", "xml"], "'table', 'json', 'csv'"),
        (["events", "--connection", "node"], f'connection "node" is not in the journal: use one of {HERE}'),
        (["incidents", "--kind", "boring"], "'crashed', 'hung', 'io_error', 'failed'"),
        (["incidents", "--connection", "node"], f"use one of {HERE}"),
        (["events", "--journal.path", "none"], "disables the journal: there is no history"),
    ],
)
def test_invalid_selection_is_refused_in_one_line(scribe: Asked, arguments: list[str], words: str) -> None:
    scribe.write(change("web"))
    assert words in refused(scribe.ask(*arguments), 2)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_missing_journal_is_reported_and_not_created(tmp_path: Path, follow: list[str]) -> None:
    said = refused(run("events", *follow, STATE_DIRECTORY=str(tmp_path)), 1)
    assert f"no journal at {tmp_path}/journal.sqlite: " in said
    assert "--journal.path" in said
    assert VARIABLE in said
    assert list(tmp_path.iterdir()) == []


def test_journal_is_found_by_flag_and_variable(scribe: Asked) -> None:
    scribe.write(change("web"))
    folder, path = str(scribe.path.parent), str(scribe.path)
    for said in (
        run("events", STATE_DIRECTORY=folder),
        run("events", "--journal.path", path),
        run("--journal.path", path, "events"),
        run("events", **{VARIABLE: path}),
    ):
        assert "web" in said.stdout


def test_files_that_are_no_journals_are_refused(scribe: Asked, tmp_path: Path) -> None:
    assert "is not a regular file" in refused(run("events", "--journal.path", str(tmp_path)), 1)
    diary = tmp_path / "diary"
    diary.write_text("holidays " * 1000)
    assert "not an SQLite file" in refused(run("events", "--journal.path", str(diary)), 1)
    with closing(sqlite3.connect(scribe.path)) as database:
        database.execute("PRAGMA user_version = 99")
    assert "a newer release wrote" in refused(scribe.ask("events"), 1)


def humble(*arguments: str) -> subprocess.CompletedProcess[str]:
    humility = HUMBLE if os.getuid() == 0 else []
    return subprocess.run(
        [*humility, *COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=CLEAN
    )


@pytest.mark.parametrize("hidden", ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"])
def test_unreadable_file_is_reported(scribe: Asked, hidden: str) -> None:
    scribe.write(change("web"))
    path = scribe.path.with_name(hidden)
    path.chmod(0)
    said = refused(humble("events", "--journal.path", str(scribe.path)), 1)
    assert f"permission denied for {path}: run this command as its owner, {path.owner()}" in said


def test_unreadable_directory_is_reported(scribe: Asked) -> None:
    scribe.write(change("web"))
    scribe.path.parent.chmod(0)
    said = humble("events", "--journal.path", str(scribe.path))
    scribe.path.parent.chmod(0o700)
    assert f"permission denied for the directory {scribe.path.parent}" in refused(said, 1)


@pytest.mark.parametrize("written", ["now", "before"])
def test_read_only_directory_is_sufficient(scribe: Asked, written: str) -> None:
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
