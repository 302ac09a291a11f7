"""Each test has a folder of its own on a real disk, and closes what it opened."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.journal.disk import Disk
from tests.journal.driver import Driver
from tests.journal.guest import Guest, Start
from tests.journal.life import Life
from tests.journal.model import Writer
from tests.journal.mortal import Mortal
from tests.lab.daemon import Daemon


@pytest.fixture(autouse=True)
def _hears_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/journal.sqlite"


@pytest.fixture
def writes() -> Iterator[Callable[[Path], Writer]]:
    opened: list[Writer] = []

    def begin(path: Path) -> Writer:
        opened.append(Writer(path))
        return opened[-1]

    yield begin
    for writer in opened:
        writer.journal.close()


@pytest.fixture
def writer(writes: Callable[[Path], Writer], path: Path) -> Writer:
    return writes(path)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with Life(tmp_path) as life:
        yield life


@pytest.fixture
def driver(session_daemon: Daemon) -> Iterator[Driver]:
    with Driver(session_daemon) as driver:
        yield driver


@pytest.fixture
def start(session_daemon: Daemon, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def begin(journal: Path | str, disk: Disk | None = None) -> Mortal:
            return running.enter_context(Mortal(tmp_path, [session_daemon.test_uri], journal, disk=disk))

        yield begin


@pytest.fixture
def guest(driver: Driver, request: pytest.FixtureRequest) -> Iterator[Guest]:
    name = request.node.name.translate(str.maketrans("[] ", "---"))
    guest = Guest(driver, name)
    yield guest
    guest.domain.undefine()
