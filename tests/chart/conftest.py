"""The programs are there before the first test's time begins to run."""

from pathlib import Path

import pytest

from tests.lab.go_tools import build

HERE = Path(__file__).parent
TOOLS = ("helm", "helm-unittest", "kubeconform", "promtool")


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(HERE in item.path.parents for item in session.items) and not session.config.option.collectonly:
        for tool in TOOLS:
            build(tool)
