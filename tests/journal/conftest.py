"""Each test has a folder of its own on a real disk, and closes what it opened."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journal.life import Life
from tests.journal.model import Writer


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
