"""Detection of jumps of the wall clock, by comparing it with CLOCK_BOOTTIME.

CLOCK_BOOTTIME never jumps and, unlike CLOCK_MONOTONIC, counts time in suspend.
https://man7.org/linux/man-pages/man2/clock_gettime.2.html

The offset is wall clock minus steady clock, in seconds. It is constant but for slewing and jumps. The trusted
offset is the one that was stable for long enough; nothing is removed by age before the trusted time comes.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

TOLERANCE: Final = 2.0
"""Seconds by which the clocks may differ between two observations: NTP slews the wall clock."""
SETTLE: Final = 3600.0
"""Seconds without a jump after which the wall clock is trusted."""
WEEK: Final = 7 * 86_400.0
"""Longest time until the wall clock is trusted; longest time without the exporter, across a reboot of the
host, after which it is trusted at once. Seconds."""


def boot_time() -> float:
    """Return seconds since the host was started, time in suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockRecord(NamedTuple):
    """What outlives a restart of the exporter."""

    boot_id: str
    """Boot of the host that the steady clock counts from."""
    wall_offset: float
    trusted_offset: float
    trusted_from: float
    """Steady clock, seconds: when the wall clock is trusted if it does not jump until then."""

    def differs(self, other: "ClockRecord | None") -> bool:
        """Return whether it must be written again."""
        return (
            other is None
            or self.boot_id != other.boot_id
            or any(abs(mine - its) > TOLERANCE for mine, its in zip(self[1:], other[1:], strict=True))
        )


class ClockMonitor:
    """Compares wall clock and steady clock; may be used by any thread."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = boot_time,
        boot_id: str = "",
    ) -> None:
        """``wall``: Unix time, seconds; ``steady``: seconds; ``boot_id``: of the host; "" if unknown."""
        self.jumps = 0
        """Jumps of the wall clock that were observed."""
        self.steady = steady
        self._wall = wall
        self._boot_id = boot_id
        self._is_same_boot = False
        """Whether the steady clock runs since before the restart."""
        self._lock = threading.Lock()
        self._offset = self._taken = wall() - steady()
        """Newest offset, and the one at the last ``take_jump``."""
        self._trusted = self._offset
        self._trusted_from = steady()

    def restore(self, record: ClockRecord | None, last: float) -> None:
        """Continue after a restart. ``last``: newest time that is known from before (Unix time; 0: none).

        On the same boot, a jump since then is observed like any other. On another boot, the wall clock is
        trusted at once if it is at most a week ahead of ``last`` and not behind it.
        """
        with self._lock:
            if record is not None and record.boot_id == self._boot_id != "":
                self._is_same_boot = True
                self._offset = self._taken = record.wall_offset
                self._trusted, self._trusted_from = record.trusted_offset, record.trusted_from
                return
            steady = self.steady()
            ahead = self._offset + steady - last
            if last and not -TOLERANCE <= ahead <= WEEK:
                self._trusted = last - steady
                self._trusted_from = steady + _settling(ahead)

    def record(self) -> ClockRecord:
        """Return what must outlive a restart."""
        with self._lock:
            return ClockRecord(self._boot_id, self._taken, self._trusted, self._trusted_from)

    def observe(self) -> float:
        """Log and count a jump since the last observation; return its size in seconds, 0 for none."""
        with self._lock:
            steady = self.steady()
            offset = self._wall() - steady
            jump = offset - self._offset
            self._offset = offset
            ahead = offset - self._trusted
            if abs(jump) <= TOLERANCE:
                # Until a jump is taken, time stamps from before it are compared with the time before it.
                self._taken += jump
                if steady >= self._trusted_from:
                    self._trusted = offset
                return 0.0
            self.jumps += 1
            is_back = abs(ahead) <= TOLERANCE
            self._trusted_from = steady if is_back else steady + _settling(ahead)
        log.warning("wall clock jumped seconds=%.1f", jump)
        return jump

    def take_jump(self) -> float:
        """Return the sum of the jumps since the last call, in seconds."""
        self.observe()
        with self._lock:
            jump, self._taken = self._offset - self._taken, self._offset
        return jump if abs(jump) > TOLERANCE else 0.0

    def now(self) -> float:
        """Return the Unix time without the jumps that were not taken yet."""
        with self._lock:
            return self.steady() + self._taken

    def removal_time(self) -> float:
        """Return the Unix time by which old data may be removed: the wall clock or the trusted time.

        It is the earlier of the two, so that a wall clock that is ahead removes nothing.
        """
        self.observe()
        with self._lock:
            return self.steady() + min(self._offset, self._trusted)

    def steady_of(self, moment: float) -> float | None:
        """Return the steady clock at a Unix time from before a restart; None: it was another boot."""
        with self._lock:
            return moment - self._taken if self._is_same_boot else None


def _settling(ahead: float) -> float:
    """Return after how many seconds a clock that is so far ahead of the trusted time is trusted."""
    return min(max(SETTLE, ahead), WEEK)
