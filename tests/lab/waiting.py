"""The one place of the lab that polls, for what sends no event: sockets, other processes' pages, /proc."""

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")

INTERVAL = 0.02


def until(condition: Callable[[], Seen], timeout: float, what: str) -> Seen:
    """The first truthy answer of `condition`; TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (seen := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(INTERVAL)
    return seen
