"""How long to wait before the next attempt: exponential, bounded, with jitter.

Jitter, because one restart of a network makes thousands of exporters reconnect to thousands of daemons.
"""

import random

_FIRST = 0.1
_FACTOR = 2.0


class Backoff:
    """The waits between attempts, in seconds."""

    def __init__(self, longest: float, jitter: random.Random | None = None) -> None:
        """``longest``: the bound, in seconds."""
        self._longest = longest
        self._random = jitter or random.Random()  # noqa: S311 - spreads load, guards no secret
        self._next = _FIRST

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._next = _FIRST

    def wait(self) -> float:
        """Return how long to wait now: between half of the step and all of it."""
        step = min(self._next, self._longest)
        self._next = min(self._next * _FACTOR, self._longest)
        return step * self._random.uniform(0.5, 1.0)
