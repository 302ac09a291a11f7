"""How long things took, counted where it happens and shown by the sink: a histogram without a library.

Law: many threads note, one reads; what is read is of one moment.
"""

import threading
from bisect import bisect_left
from typing import Final

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds, in seconds."""


class Durations:
    """Histograms by (connection, signal)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def open(self, connection: str, signal: str) -> None:
        """Begin at 0."""
        with self._lock:
            self._counts.setdefault((connection, signal), [0] * (len(BOUNDS) + 1))
            self._sums.setdefault((connection, signal), 0.0)

    def note(self, connection: str, signal: str, seconds: float) -> None:
        """Count one; ``open`` comes first."""
        with self._lock:
            self._counts[connection, signal][bisect_left(BOUNDS, seconds)] += 1
            self._sums[connection, signal] += seconds

    def read(self) -> dict[tuple[str, str], tuple[tuple[int, ...], float]]:
        """Return (how many in each bucket, the last one being for all that is longer; sum of seconds)."""
        with self._lock:
            return {key: (tuple(counts), self._sums[key]) for key, counts in self._counts.items()}
