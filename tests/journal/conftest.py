"""Fixtures: a journal in a directory of its own on a real disk, its writers, and exporters that use it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.journal.counted_domain import CountedDomain, StartExporter
from tests.journal.disk import Disk
from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal
from tests.journal.simulated_exporter import SimulatedExporter
from tests.journal.writer import Writer
from tests.lab.daemon import Daemon


@pytest.fixture(autouse=True)
def _capture_info_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/journal.sqlite"


@pytest.fixture
def open_writer() -> Iterator[Callable[[Path], Writer]]:
    opened: list[Writer] = []

    def begin(path: Path) -> Writer:
        opened.append(Writer(path))
        return opened[-1]

    yield begin
    for writer in opened:
        writer.journal.close()


@pytest.fixture
def writer(open_writer: Callable[[Path], Writer], path: Path) -> Writer:
    return open_writer(path)


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[SimulatedExporter]:
    with SimulatedExporter(tmp_path) as exporter:
        yield exporter


@pytest.fixture
def driver(session_daemon: Daemon) -> Iterator[Driver]:
    with Driver(session_daemon) as driver:
        yield driver


@pytest.fixture
def start_exporter(session_daemon: Daemon, tmp_path: Path) -> Iterator[StartExporter]:
    with ExitStack() as running:

        def begin(journal: Path | str, disk: Disk | None = None) -> ExporterWithJournal:
            return running.enter_context(
                ExporterWithJournal(tmp_path, [session_daemon.test_uri], journal, disk=disk)
            )

        yield begin


@pytest.fixture
def counted_domain(driver: Driver, request: pytest.FixtureRequest) -> Iterator[CountedDomain]:
    name = request.node.name.translate(str.maketrans("[] ", "---"))
    counted_domain = CountedDomain(driver, name)
    yield counted_domain
    counted_domain.domain.undefine()
