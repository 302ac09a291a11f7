"""Detection of jumps of the wall clock, by comparing it with CLOCK_BOOTTIME.

CLOCK_BOOTTIME never jumps and, unlike CLOCK_MONOTONIC, counts time in suspend.
https://man7.org/linux/man-pages/man2/clock_gettime.2.html
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

TOLERANCE: Final = 2.0
"""Seconds by which the clocks may differ between two observations: NTP slews the wall clock."""
SETTLE: Final = 3600.0
"""Seconds without a jump after which the wall clock is trusted."""
_LONGEST_SETTLE: Final = 7 * 86_400.0


def boot_time() -> float:
    """Return seconds since the host was started, time in suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockMonitor:
    """Compares wall clock and steady clock; may be used by any thread."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = boot_time
    ) -> None:
        """``wall``: Unix time, seconds; ``steady``: seconds."""
        self.jumps = 0
        """Jumps of the wall clock that were observed."""
        self.steady = steady
        self._wall = wall
        self._lock = threading.Lock()
        self._untaken = 0.0
        self._offset = wall() - steady()
        self._home = self._offset
        """Offset at which the wall clock was trusted last, or at the start."""
        self._trusted_from = steady() + SETTLE

    def observe(self) -> float:
        """Log and count a jump since the last observation; return its size in seconds, 0 for none."""
        with self._lock:
            steady = self.steady()
            offset = self._wall() - steady
            jump = offset - self._offset
            self._offset = offset
            if abs(jump) <= TOLERANCE:
                if steady >= self._trusted_from:
                    self._home = offset
                return 0.0
            self.jumps += 1
            self._untaken += jump
            # A clock that is far ahead must stay there for longer before it is trusted.
            ahead = offset - self._home
            self._trusted_from = steady + min(max(SETTLE, ahead), _LONGEST_SETTLE)
        log.warning("wall clock jumped seconds=%.1f", jump)
        return jump

    def take_jump(self) -> float:
        """Return the sum of the jumps since the last call, in seconds."""
        self.observe()
        with self._lock:
            jump, self._untaken = self._untaken, 0.0
        return jump

    def is_trusted(self) -> bool:
        """Return whether there was no jump for long enough to remove history by age."""
        self.observe()
        with self._lock:
            return self.steady() >= self._trusted_from
