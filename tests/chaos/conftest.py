"""A daemon with two witnesses, one for each of its drivers, and an exporter that may be killed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journal.exporter_with_journal import ExporterWithJournal as Mortal
from tests.lab.clock import SteppedClock
from tests.lab.daemon import Daemon
from tests.lab.host_boot import HostBoot
from tests.lab.witness import Witness


@dataclass(frozen=True)
class Field:
    daemon: Daemon
    exporter: Mortal
    witnesses: dict[str, Witness]
    """By the exporter's label of the connection."""
    journal: Path
    clock: SteppedClock
    """The exporter's."""
    host_boot: HostBoot
    """The exporter's host."""


@pytest.fixture
def field(
    own_daemon: Daemon, own_witness: Witness, own_driver_witness: Witness, tmp_path: Path
) -> Iterator[Field]:
    journal = tmp_path / "journal.sqlite"
    uris = [f"qemu={own_daemon.uri}", f"test={own_daemon.test_uri}"]
    clock, host_boot = SteppedClock(tmp_path / "clock"), HostBoot(tmp_path / "host")
    witnesses = {"qemu": own_witness, "test": own_driver_witness}
    with Mortal(tmp_path, uris, journal, environment=clock.environment, enter=host_boot.enter) as exporter:
        yield Field(own_daemon, exporter, witnesses, journal, clock, host_boot)
