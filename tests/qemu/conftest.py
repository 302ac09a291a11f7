"""Prints the recorded events of each scenario at the end of the run."""

from collections.abc import Callable

import pytest

SUMMARIES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def record_summary(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Function that takes the name of a scenario and the summary of its events."""
    return pytestconfig.stash.setdefault(SUMMARIES, {}).__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    summaries = config.stash.get(SUMMARIES, {})
    if not summaries:
        return
    events = [word for summary in summaries.values() for word in summary.split() if "/" in word]
    terminalreporter.section("events of libvirt by scenario")
    for name, summary in summaries.items():
        terminalreporter.line(f"{name}: {summary}")
    different = sorted(set(events))
    terminalreporter.line(
        f"{len(summaries)} scenarios, {len(events)} events, {len(different)} different: {' '.join(different)}"
    )
