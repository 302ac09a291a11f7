"""Where the commands look for the journal if no path is set: that of the user, then that of the service.

The tests run in a mount namespace with their own /var/lib, so that the result does not depend on the machine.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.cli.journal_path import SERVICE_DIRECTORY, candidate_paths
from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND, JOURNAL_VARIABLE, WITHOUT_CAPABILITIES, error_line
from tests.journal.disk import Disk
from tests.journal.journal_fixture import JournalFixture, change

FILE = "journal.sqlite"


class Machine:
    """Runs commands of a user whose state directory is ``home``, in the namespace of a disk."""

    def __init__(self, disk: Disk, state_home: Path) -> None:
        self.disk, self.state_home = disk, state_home
        disk.run("mount", "--bind", disk.folder, SERVICE_DIRECTORY.parent)

    def run_events(self, *before: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.disk.command_prefix, *before, *COMMAND, "events"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=CLEAN_ENVIRONMENT | {"XDG_STATE_HOME": str(self.state_home)} | variables,
        )

    def create_journal(self, folder: Path, name: str) -> None:
        """Create a journal with one transition of a domain of this name."""
        written = self.state_home.parent / f"{name}.sqlite"
        journal = JournalFixture(written)
        journal.write(change(name))
        journal.store.close()
        self.disk.run("mkdir", "-p", folder)
        self.disk.run("cp", written, folder / FILE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    state_home = tmp_path / "home"
    state_home.mkdir()
    with Disk(tmp_path / "disk", "4m") as disk:
        yield Machine(disk, state_home)


def user_directory(machine: Machine) -> Path:
    return machine.state_home / SERVICE_DIRECTORY.name


def test_missing_journal_error_lists_searched_paths(machine: Machine) -> None:
    result = error_line(machine.run_events(), 1)
    assert f"no journal at {user_directory(machine) / FILE} or at {SERVICE_DIRECTORY / FILE}: " in result
    assert "--journal.path" in result
    assert JOURNAL_VARIABLE in result
    assert list(machine.state_home.iterdir()) == []


def test_journal_of_the_service_is_found(machine: Machine) -> None:
    machine.create_journal(SERVICE_DIRECTORY, "of-the-service")
    assert "of-the-service" in machine.run_events().stdout


def test_journal_of_the_user_is_preferred(machine: Machine) -> None:
    machine.create_journal(SERVICE_DIRECTORY, "of-the-service")
    machine.create_journal(user_directory(machine), "my-own")
    result = machine.run_events().stdout
    assert "my-own" in result
    assert "of-the-service" not in result


def test_unreadable_service_directory_is_reported(machine: Machine) -> None:
    machine.create_journal(SERVICE_DIRECTORY, "of-the-service")
    machine.disk.run("chmod", "0", SERVICE_DIRECTORY)
    result = error_line(machine.run_events(*WITHOUT_CAPABILITIES), 1)
    assert (
        f"permission denied for the directory {SERVICE_DIRECTORY}: run this command as the exporter's user"
        in result
    )


def test_explicit_path_disables_the_search(machine: Machine) -> None:
    machine.create_journal(SERVICE_DIRECTORY, "of-the-service")
    nowhere = str(machine.state_home / "nowhere")
    for result in (
        machine.run_events(STATE_DIRECTORY=nowhere),
        machine.run_events(**{JOURNAL_VARIABLE: f"{nowhere}/{FILE}"}),
    ):
        assert f"no journal at {nowhere}/{FILE}: set the path with" in error_line(result, 1)


def test_path_none_has_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    assert candidate_paths("none") == []
    assert candidate_paths("") == [Path(os.devnull) / SERVICE_DIRECTORY.name / FILE, SERVICE_DIRECTORY / FILE]
