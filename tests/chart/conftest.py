"""Fixture: an OpenTelemetry Collector for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import collector as lab_collector


@pytest.fixture
def collector(lab_root: Path) -> Iterator[lab_collector.Collector]:
    with lab_collector.Collector(lab_root) as collector:
        yield collector
