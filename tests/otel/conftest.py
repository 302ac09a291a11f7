"""A Collector of its own for each module, and what an exporter must have told it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.collector import Collector


@pytest.fixture(scope="module")
def collector(lab_root: Path) -> Iterator[Collector]:
    with Collector(lab_root) as collector:
        yield collector
