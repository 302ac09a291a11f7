"""The only polling loop of the lab, for conditions without an event: sockets, pages of other processes,
/proc.
"""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

INTERVAL = 0.02


def until(condition: Callable[[], Result], timeout: float, what: str) -> Result:
    """Return the first truthy result of `condition`. Raises TimeoutError that names `what` after `timeout`
    seconds.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(INTERVAL)
    return result
