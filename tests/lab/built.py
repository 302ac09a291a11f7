"""Tests that need programs which are built first, with Go: they come last, and have the time to wait.

`make test` has them built meanwhile (built.sh); who runs some tests alone builds what these need.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NEEDY = ("otel", "alerts", "packaging", "chart")
"""Folders, in the order in which built.sh makes what they need."""
WAIT = 1500.0
"""Seconds beside their own that they may take, if the first of them has to build it all."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    usual = float(config.getini("timeout"))
    for item in items:
        if _turn(item):
            own = item.get_closest_marker("timeout")
            item.add_marker(pytest.mark.timeout(WAIT + (own.args[0] if own else usual)), append=False)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return NEEDY.index(folder) + 1 if folder in NEEDY else 0
