"""The exporter as a process, its disk full or read-only: it counts, says once what is wrong, and heals."""

from pathlib import Path

import pytest

from tests.journal.disk import Disk
from tests.journal.guest import Guest, Start, well
from tests.journal.mortal import ERRORS, Mortal
from tests.lab.waiting import until

COUNT = (
    "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM transitions "
    'WHERE name = ? AND event = "stopped"\', sys.argv[2:]).fetchone()[0])'
)


def history(disk: Disk, guest: Guest) -> int:
    """How many stops of the guest are in the journal on the disk."""
    argv = disk.python("-c", COUNT, disk.folder / "journal.sqlite", guest.name)
    return int(disk.run(*argv[len(disk.enter) :]))


def overflow(disk: Disk, guest: Guest, exporter: Mortal) -> None:
    disk.fill()
    while not exporter.figure(ERRORS):
        guest.cycle(exporter)


def goes_on(guest: Guest, exporter: Mortal) -> None:
    """Counting does, and errors are counted."""
    errors = exporter.figure(ERRORS)
    for _ in range(3):
        guest.cycle(exporter)
    exporter.wait_until(lambda: exporter.figure(ERRORS) > errors + 1, what="further attempts")


def nothing_is_missing(disk: Disk, guest: Guest, exporter: Mortal) -> None:
    """Now, and after a kill."""
    guest.cycle(exporter)
    exporter.kill()
    exporter.again()
    assert guest.shown(exporter) == history(disk, guest) == guest.cycles
    exporter.stop()


def test_exporter_recovers_after_disk_full(start: Start, guest: Guest, tmp_path: Path) -> None:
    with Disk(tmp_path / "disk") as disk:
        exporter = start(disk.folder / "journal.sqlite", disk)
        guest.cycle(exporter)
        overflow(disk, guest, exporter)
        goes_on(guest, exporter)
        assert exporter.said("journal unavailable") <= 2, "once for each cause: writing, and opening anew"
        disk.make_room()
        well(exporter)
        assert exporter.said("journal recovered") == 1
        nothing_is_missing(disk, guest, exporter)


def test_exporter_recovers_after_read_only_disk(start: Start, guest: Guest, tmp_path: Path) -> None:
    """Nobody can make it so while a file is open for writing; so it is full first."""
    with Disk(tmp_path / "disk") as disk:
        exporter = start(disk.folder / "journal.sqlite", disk)
        guest.cycle(exporter)
        overflow(disk, guest, exporter)
        until(disk.freeze, 30, "a moment in which the journal is not open")
        goes_on(guest, exporter)
        assert exporter.said("Read-only file system") == 1
        disk.thaw()
        disk.make_room()
        well(exporter)
        assert exporter.said("journal recovered") == 1
        nothing_is_missing(disk, guest, exporter)


@pytest.mark.parametrize("ended", ["stopped", "killed"])
@pytest.mark.parametrize("ailment", ["full", "read-only"])
def test_exporter_starts_on_unwritable_disk(
    ailment: str, ended: str, start: Start, guest: Guest, tmp_path: Path
) -> None:
    """What the journal remembers is shown all the same, and grows."""
    with Disk(tmp_path / "disk") as disk:
        exporter = start(disk.folder / "journal.sqlite", disk)
        guest.cycle(exporter)
        exporter.kill() if ended == "killed" else exporter.stop()
        disk.fill() if ailment == "full" else until(disk.freeze, 30, "the journal to be closed")
        exporter.again()
        assert guest.shown(exporter) == 1
        goes_on(guest, exporter)
        causes = 1 if ailment == "read-only" else 2
        assert 1 <= exporter.said("journal unavailable") <= causes
        disk.make_room() if ailment == "full" else disk.thaw()
        well(exporter)
        nothing_is_missing(disk, guest, exporter)
