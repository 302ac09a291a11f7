"""What each scenario really made libvirt say, printed at the end of the run."""

from collections.abc import Callable

import pytest

STORIES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def account(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Takes a scenario's name and its story, for the figures."""
    return pytestconfig.stash.setdefault(STORIES, {}).__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    stories = config.stash.get(STORIES, {})
    if not stories:
        return
    events = [word for story in stories.values() for word in story.split() if "/" in word]
    terminalreporter.section("what libvirt said, scenario by scenario")
    for name, story in stories.items():
        terminalreporter.line(f"{name}: {story}")
    different = sorted(set(events))
    terminalreporter.line(
        f"{len(stories)} accounts, {len(events)} events, {len(different)} different: {' '.join(different)}"
    )
