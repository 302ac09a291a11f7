"""pytest plugin: tests that need Go programs run last, with a longer time limit.

`make test` builds these programs in the background (build-tools.sh). If only some tests run, the first test
that needs a program builds it.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NEEDED_BY = ("otel", "alerts", "packaging", "chart")
"""Test directories, in the order in which build-tools.sh builds their programs."""
BUILD_TIME = 1500.0
"""Seconds that are added to the time limit of such a test, in case it builds the programs."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_position)
    usual = float(config.getini("timeout"))
    for item in items:
        if _position(item):
            own = item.get_closest_marker("timeout")
            item.add_marker(pytest.mark.timeout(BUILD_TIME + (own.args[0] if own else usual)), append=False)


def _position(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return NEEDED_BY.index(folder) + 1 if folder in NEEDED_BY else 0
