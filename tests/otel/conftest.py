"""A Collector of its own for each module, and what an exporter must have told it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.collector import Collector, build

HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """The Collector is built before the first test's time begins to run."""
    if any(HERE in item.path.parents for item in session.items) and not session.config.option.collectonly:
        build()


@pytest.fixture(scope="module")
def collector(lab_root: Path) -> Iterator[Collector]:
    with Collector(lab_root) as collector:
        yield collector
