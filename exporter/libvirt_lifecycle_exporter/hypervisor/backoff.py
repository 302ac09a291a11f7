"""Exponential backoff with an upper bound and jitter.

Jitter spreads the load when many exporters reconnect at the same time, for example after a network outage.
"""

import random

_FIRST_DELAY = 0.1
_FACTOR = 2.0


class Backoff:
    """Computes the delays between attempts, in seconds."""

    def __init__(self, max_delay: float, jitter: random.Random | None = None) -> None:
        """``max_delay``: upper bound in seconds. ``jitter``: random source, replaced by tests."""
        self._max_delay = max_delay
        self._random = jitter or random.Random()  # noqa: S311 - spreads load, guards no secret
        self._next = _FIRST_DELAY

    def reset(self) -> None:
        """Start again with the first delay, after a success."""
        self._next = _FIRST_DELAY

    def next_delay(self) -> float:
        """Return the next delay, between half of the current step and the whole step; seconds."""
        step = min(self._next, self._max_delay)
        self._next = min(self._next * _FACTOR, self._max_delay)
        return step * self._random.uniform(0.5, 1.0)
