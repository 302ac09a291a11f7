"""``events`` and ``incidents``: invalid arguments, and journals that are missing or not readable."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command import (
    CLEAN_ENVIRONMENT,
    COMMAND,
    JOURNAL_VARIABLE,
    WITHOUT_CAPABILITIES,
    QueryableJournal,
    error_line,
    run,
)
from tests.journal.journal_fixture import HERE, change


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_invalid_selection_is_refused_in_one_line(
    journal: QueryableJournal, arguments: list[str], message: str
) -> None:
    journal.write(change("web"))
    assert message in error_line(journal.query(*arguments), 2)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_missing_journal_is_reported_and_not_created(tmp_path: Path, follow: list[str]) -> None:
    result = error_line(run("events", *follow, STATE_DIRECTORY=str(tmp_path)), 1)
    assert f"no journal at {tmp_path}/journal.sqlite: " in result
    assert "--journal.path" in result
    assert JOURNAL_VARIABLE in result
    assert list(tmp_path.iterdir()) == []


def test_journal_is_found_by_flag_and_variable(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    folder, path = str(journal.path.parent), str(journal.path)
    for result in (
        run("events", STATE_DIRECTORY=folder),
        run("events", "--journal.path", path),
        run("--journal.path", path, "events"),
        run("events", **{JOURNAL_VARIABLE: path}),
    ):
        assert "web" in result.stdout


def test_files_that_are_no_journals_are_refused(journal: QueryableJournal, tmp_path: Path) -> None:
    assert "is not a regular file" in error_line(run("events", "--journal.path", str(tmp_path)), 1)
    other_file = tmp_path / "diary"
    other_file.write_text("holidays " * 1000)
    assert "not an SQLite file" in error_line(run("events", "--journal.path", str(other_file)), 1)
    with closing(sqlite3.connect(journal.path)) as database:
        database.execute("PRAGMA user_version = 99")
    assert "a newer release wrote" in error_line(journal.query("events"), 1)


def run_unprivileged(*arguments: str) -> subprocess.CompletedProcess[str]:
    prefix = WITHOUT_CAPABILITIES if os.getuid() == 0 else []
    return subprocess.run(
        [*prefix, *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN_ENVIRONMENT,
    )


@pytest.mark.parametrize("unreadable", ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"])
def test_unreadable_file_is_reported(journal: QueryableJournal, unreadable: str) -> None:
    journal.write(change("web"))
    path = journal.path.with_name(unreadable)
    path.chmod(0)
    result = error_line(run_unprivileged("events", "--journal.path", str(journal.path)), 1)
    assert f"permission denied for {path}: run this command as its owner, {path.owner()}" in result


def test_unreadable_directory_is_reported(journal: QueryableJournal) -> None:
    journal.write(change("web"))
    journal.path.parent.chmod(0)
    result = run_unprivileged("events", "--journal.path", str(journal.path))
    journal.path.parent.chmod(0o700)
    assert f"permission denied for the directory {journal.path.parent}" in error_line(result, 1)


@pytest.mark.parametrize("writer", ["running", "closed"])
def test_read_only_directory_is_sufficient(journal: QueryableJournal, writer: str) -> None:
    journal.write(change("web"))
    if writer == "closed":
        journal.store.close()
    for path in journal.path.parent.iterdir():
        path.chmod(0o400)
    journal.path.parent.chmod(0o500)
    result = run_unprivileged("events", "--journal.path", str(journal.path))
    journal.path.parent.chmod(0o700)
    assert (result.returncode, result.stderr) == (0, "")
    assert "web" in result.stdout
