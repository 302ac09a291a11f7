"""A daemon with two witnesses, one for each of its drivers, and an exporter that may be killed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journal.mortal import Mortal
from tests.lab.daemon import Daemon
from tests.lab.witness import Witness


@dataclass(frozen=True)
class Field:
    daemon: Daemon
    exporter: Mortal
    witnesses: dict[str, Witness]
    """By the exporter's label of the connection."""
    journal: Path


@pytest.fixture
def field(
    own_daemon: Daemon, own_witness: Witness, own_driver_witness: Witness, tmp_path: Path
) -> Iterator[Field]:
    journal = tmp_path / "journal.sqlite"
    uris = [f"qemu={own_daemon.uri}", f"test={own_daemon.test_uri}"]
    with Mortal(tmp_path, uris, journal) as exporter:
        yield Field(own_daemon, exporter, {"qemu": own_witness, "test": own_driver_witness}, journal)
