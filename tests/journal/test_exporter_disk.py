"""Exporter processes on a full or read-only disk: the exporter counts, logs the cause once and recovers."""

from pathlib import Path

import pytest

from tests.journal.counted_domain import CountedDomain, StartExporter, wait_recovered
from tests.journal.disk import Disk
from tests.journal.exporter_with_journal import ERRORS, ExporterWithJournal
from tests.lab.waiting import until

COUNT_STOPS_SCRIPT = (
    "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM transitions "
    'WHERE name = ? AND event = "stopped"\', sys.argv[2:]).fetchone()[0])'
)


def history(disk: Disk, counted_domain: CountedDomain) -> int:
    """Return the number of stops of the domain in the journal on the disk."""
    argv = disk.python("-c", COUNT_STOPS_SCRIPT, disk.folder / "journal.sqlite", counted_domain.name)
    return int(disk.run(*argv[len(disk.command_prefix) :]))


def overflow(disk: Disk, counted_domain: CountedDomain, exporter: ExporterWithJournal) -> None:
    disk.fill()
    while not exporter.figure(ERRORS):
        counted_domain.cycle(exporter)


def check_counting_continues(counted_domain: CountedDomain, exporter: ExporterWithJournal) -> None:
    """Check that domains are still counted and that each further attempt counts an error."""
    errors = exporter.figure(ERRORS)
    for _ in range(3):
        counted_domain.cycle(exporter)
    exporter.wait_until(lambda: exporter.figure(ERRORS) > errors + 1, what="further attempts")


def check_nothing_is_lost(disk: Disk, counted_domain: CountedDomain, exporter: ExporterWithJournal) -> None:
    """Check that the counters and the journal are complete after a kill."""
    counted_domain.cycle(exporter)
    exporter.kill()
    exporter.again()
    assert counted_domain.stop_count(exporter) == history(disk, counted_domain) == counted_domain.cycles
    exporter.stop()


def test_exporter_recovers_after_disk_full(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    with Disk(tmp_path / "disk") as disk:
        exporter = start_exporter(disk.folder / "journal.sqlite", disk)
        counted_domain.cycle(exporter)
        overflow(disk, counted_domain, exporter)
        check_counting_continues(counted_domain, exporter)
        assert exporter.log_count("journal unavailable") <= 2, (
            "once for each cause: writing, and opening anew"
        )
        disk.free_space()
        wait_recovered(exporter)
        assert exporter.log_count("journal recovered") == 1
        check_nothing_is_lost(disk, counted_domain, exporter)


def test_exporter_recovers_after_read_only_disk(
    start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    """The disk is filled first, because it cannot become read-only while a file is open for writing."""
    with Disk(tmp_path / "disk") as disk:
        exporter = start_exporter(disk.folder / "journal.sqlite", disk)
        counted_domain.cycle(exporter)
        overflow(disk, counted_domain, exporter)
        until(disk.make_read_only, 30, "a moment in which the journal is not open")
        check_counting_continues(counted_domain, exporter)
        assert exporter.log_count("Read-only file system") == 1
        disk.make_writable()
        disk.free_space()
        wait_recovered(exporter)
        assert exporter.log_count("journal recovered") == 1
        check_nothing_is_lost(disk, counted_domain, exporter)


@pytest.mark.parametrize("stop_mode", ["stopped", "killed"])
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_exporter_starts_on_unwritable_disk(
    fault: str, stop_mode: str, start_exporter: StartExporter, counted_domain: CountedDomain, tmp_path: Path
) -> None:
    """The exporter restores the counters and continues to count."""
    with Disk(tmp_path / "disk") as disk:
        exporter = start_exporter(disk.folder / "journal.sqlite", disk)
        counted_domain.cycle(exporter)
        exporter.kill() if stop_mode == "killed" else exporter.stop()
        disk.fill() if fault == "full" else until(disk.make_read_only, 30, "the journal to be closed")
        exporter.again()
        assert counted_domain.stop_count(exporter) == 1
        check_counting_continues(counted_domain, exporter)
        causes = 1 if fault == "read-only" else 2
        assert 1 <= exporter.log_count("journal unavailable") <= causes
        disk.free_space() if fault == "full" else disk.make_writable()
        wait_recovered(exporter)
        check_nothing_is_lost(disk, counted_domain, exporter)
