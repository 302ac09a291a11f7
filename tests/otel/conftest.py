"""Fixtures: a Collector per module, and a driver for the domains of libvirt's test driver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.driver import Driver
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon, short_root


@pytest.fixture(scope="module")
def collector(lab_root: Path) -> Iterator[Collector]:
    with Collector(lab_root) as collector:
        yield collector


@pytest.fixture
def root() -> Iterator[Path]:
    with short_root() as root:
        yield root


@pytest.fixture
def driver(own_daemon: Daemon) -> Iterator[Driver]:
    with Driver(own_daemon) as driver:
        yield driver
