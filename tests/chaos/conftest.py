"""A daemon with two event recorders, one for each of its drivers, and an exporter that can be killed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journal.exporter_with_journal import ExporterWithJournal
from tests.lab.clock import SteppedClock
from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.host_boot import HostBoot


@dataclass(frozen=True)
class ChaosEnvironment:
    daemon: Daemon
    exporter: ExporterWithJournal
    recorders: dict[str, EventRecorder]
    """By the connection label of the exporter."""
    journal: Path
    clock: SteppedClock
    """Wall clock of the exporter."""
    host_boot: HostBoot
    """Boot id of the exporter's host."""


@pytest.fixture
def environment(
    own_daemon: Daemon, own_recorder: EventRecorder, own_driver_recorder: EventRecorder, tmp_path: Path
) -> Iterator[ChaosEnvironment]:
    journal = tmp_path / "journal.sqlite"
    uris = [f"qemu={own_daemon.uri}", f"test={own_daemon.test_uri}"]
    clock, host_boot = SteppedClock(tmp_path / "clock"), HostBoot(tmp_path / "host")
    recorders = {"qemu": own_recorder, "test": own_driver_recorder}
    with ExporterWithJournal(
        tmp_path, uris, journal, environment=clock.environment, enter=host_boot.enter
    ) as exporter:
        yield ChaosEnvironment(own_daemon, exporter, recorders, journal, clock, host_boot)
