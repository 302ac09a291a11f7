"""The programs are there before the first test's time begins to run; a Collector."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import collector as lab_collector
from tests.lab.go_tools import build

HERE = Path(__file__).parent
TOOLS = ("helm", "helm-unittest", "kubeconform", "promtool")


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(HERE in item.path.parents for item in session.items) and not session.config.option.collectonly:
        for tool in TOOLS:
            build(tool)
        lab_collector.build()


@pytest.fixture
def collector(lab_root: Path) -> Iterator[lab_collector.Collector]:
    with lab_collector.Collector(lab_root) as collector:
        yield collector
