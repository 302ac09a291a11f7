"""Where the commands look for a journal that nobody says the place of: the user's own, then the service's.

In a mount namespace with a /var/lib of its own, so that it is the same on every machine.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.cli.journal_path import SERVICE_DIRECTORY, candidate_paths
from tests.cli.asking import CLEAN, COMMAND, HUMBLE, VARIABLE, refused
from tests.journal.disk import Disk
from tests.journal.seeding import Scribe, change

FILE = "journal.sqlite"


class Machine:
    """Commands of a user whose state folder is ``home``."""

    def __init__(self, disk: Disk, home: Path) -> None:
        self.disk, self.home = disk, home
        disk.run("mount", "--bind", disk.folder, SERVICE_DIRECTORY.parent)

    def ask(self, *before: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.disk.enter, *before, *COMMAND, "events"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=CLEAN | {"XDG_STATE_HOME": str(self.home)} | variables,
        )

    def keep(self, folder: Path, name: str) -> None:
        """A journal with one transition, of a domain of this name."""
        written = self.home.parent / f"{name}.sqlite"
        scribe = Scribe(written)
        scribe.write(change(name))
        scribe.journal.close()
        self.disk.run("mkdir", "-p", folder)
        self.disk.run("cp", written, folder / FILE)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    home.mkdir()
    with Disk(tmp_path / "disk", "4m") as disk:
        yield Machine(disk, home)


def own(machine: Machine) -> Path:
    return machine.home / SERVICE_DIRECTORY.name


def test_missing_journal_error_lists_searched_paths(machine: Machine) -> None:
    said = refused(machine.ask(), 1)
    assert f"no journal at {own(machine) / FILE} or at {SERVICE_DIRECTORY / FILE}: " in said
    assert "--journal.path" in said
    assert VARIABLE in said
    assert list(machine.home.iterdir()) == []


def test_journal_of_the_service_is_found(machine: Machine) -> None:
    machine.keep(SERVICE_DIRECTORY, "of-the-service")
    assert "of-the-service" in machine.ask().stdout


def test_journal_of_the_user_is_preferred(machine: Machine) -> None:
    machine.keep(SERVICE_DIRECTORY, "of-the-service")
    machine.keep(own(machine), "my-own")
    said = machine.ask().stdout
    assert "my-own" in said
    assert "of-the-service" not in said


def test_unreadable_service_directory_is_reported(machine: Machine) -> None:
    machine.keep(SERVICE_DIRECTORY, "of-the-service")
    machine.disk.run("chmod", "0", SERVICE_DIRECTORY)
    said = refused(machine.ask(*HUMBLE), 1)
    assert (
        f"permission denied for the directory {SERVICE_DIRECTORY}: run this command as the exporter's user"
        in said
    )


def test_explicit_path_disables_the_search(machine: Machine) -> None:
    machine.keep(SERVICE_DIRECTORY, "of-the-service")
    nowhere = str(machine.home / "nowhere")
    for said in (machine.ask(STATE_DIRECTORY=nowhere), machine.ask(**{VARIABLE: f"{nowhere}/{FILE}"})):
        assert f"no journal at {nowhere}/{FILE}: set the path with" in refused(said, 1)


def test_path_none_has_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    assert candidate_paths("none") == []
    assert candidate_paths("") == [Path(os.devnull) / SERVICE_DIRECTORY.name / FILE, SERVICE_DIRECTORY / FILE]
