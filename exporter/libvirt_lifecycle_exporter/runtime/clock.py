"""Detection of jumps of the wall clock, by comparing it with CLOCK_BOOTTIME.

CLOCK_BOOTTIME never jumps and, unlike CLOCK_MONOTONIC, counts time in suspend.
https://man7.org/linux/man-pages/man2/clock_gettime.2.html

"Steady clock" below means CLOCK_BOOTTIME. The offset is wall clock minus steady clock, in seconds. It changes
only when the wall clock is slewed or jumps. The trusted offset is the last one that was stable for long
enough. Old data is removed by the trusted time, so that a wrong wall clock removes nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

TOLERANCE: Final = 2.0
"""Seconds by which the clocks may differ between two observations: NTP slews the wall clock."""
SETTLING_TIME: Final = 3600.0
"""Seconds without a jump after which the wall clock is trusted."""
WEEK: Final = 7 * 86_400.0
"""Seconds. Maximum time until the wall clock is trusted after a jump; also the maximum downtime across a
reboot of the host after which it is trusted immediately."""


def boot_time() -> float:
    """Return the seconds since the boot of the host, including time in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockRecord(NamedTuple):
    """The state of the clock monitor that is stored in the journal."""

    boot_id: str
    """Id of the host boot from which the steady clock counts."""
    wall_offset: float
    trusted_offset: float
    trusted_from: float
    """Time (steady clock, seconds) from which on the wall clock is trusted if it does not jump before."""

    def differs(self, other: "ClockRecord | None") -> bool:
        """Return whether this record differs from a stored one and must be written."""
        return (
            other is None
            or self.boot_id != other.boot_id
            or any(abs(mine - its) > TOLERANCE for mine, its in zip(self[1:], other[1:], strict=True))
        )


class ClockMonitor:
    """Compares the wall clock with the steady clock. All methods may be called from any thread."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = boot_time,
        boot_id: str = "",
    ) -> None:
        """``wall``: Unix time in seconds; ``steady``: seconds; ``boot_id``: of the host, "" if unknown."""
        self.jumps = 0
        """Number of observed jumps."""
        self.steady = steady
        self._wall = wall
        self._boot_id = boot_id
        self._is_same_boot = False
        """Whether the host was not rebooted since the stored record was written."""
        self._lock = threading.Lock()
        self._offset = self._taken = wall() - steady()
        """The newest offset, and the offset at the last ``take_jump``."""
        self._trusted = self._offset
        self._trusted_from = steady()

    def restore(self, record: ClockRecord | None, last: float) -> None:
        """Continue after a restart. ``last``: newest time in the journal (Unix time; 0: none).

        If the host was not rebooted, a jump since then is observed like any other. After a reboot, the wall
        clock is trusted immediately if it is not behind ``last`` and at most a week ahead of it.
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
        """Return the state to store."""
        with self._lock:
            return ClockRecord(self._boot_id, self._taken, self._trusted, self._trusted_from)

    def observe(self) -> float:
        """Compare the clocks; log and count a jump. Return its size in seconds, 0 if there is none."""
        with self._lock:
            steady = self.steady()
            offset = self._wall() - steady
            jump = offset - self._offset
            self._offset = offset
            ahead = offset - self._trusted
            if abs(jump) <= TOLERANCE:
                # Slewing is taken over immediately; a jump only by take_jump, together with the stored time
                # stamps.
                self._taken += jump
                if steady >= self._trusted_from:
                    self._trusted = offset
                return 0.0
            self.jumps += 1
            is_back = abs(ahead) <= TOLERANCE
            self._trusted_from = steady if is_back else steady + _settling(ahead)
        log.warning("wall clock jumped", extra={"seconds": round(jump, 1)})
        return jump

    def take_jump(self) -> float:
        """Return the sum of the jumps since the last call, in seconds."""
        self.observe()
        with self._lock:
            jump, self._taken = self._offset - self._taken, self._offset
        return jump if abs(jump) > TOLERANCE else 0.0

    def now(self) -> float:
        """Return the Unix time without jumps that ``take_jump`` did not return yet."""
        with self._lock:
            return self.steady() + self._taken

    def removal_time(self) -> float:
        """Return the Unix time for retention: the earlier one of the wall clock and the trusted time.

        So a wall clock that is ahead removes nothing.
        """
        self.observe()
        with self._lock:
            return self.steady() + min(self._offset, self._trusted)

    def steady_of(self, moment: float) -> float | None:
        """Return the steady clock at a Unix time before the restart; None if the host was rebooted since."""
        with self._lock:
            return moment - self._taken if self._is_same_boot else None


def _settling(ahead: float) -> float:
    """Return the seconds until the wall clock is trusted; ``ahead``: seconds ahead of the trusted time."""
    return min(max(SETTLING_TIME, ahead), WEEK)
