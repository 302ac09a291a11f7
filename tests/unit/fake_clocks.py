"""Fakes of the wall clock and of a monotonic clock."""

from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor, ClockRecord


class Clocks:
    """A wall clock (Unix time) and a monotonic clock in seconds, both set by the test, and their monitor."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 1000.0
        self.monitor = self._monitor("boot")

    def _monitor(self, boot_id: str) -> ClockMonitor:
        return ClockMonitor(lambda: self.wall, lambda: self.steady, boot_id)

    def restart(self, record: ClockRecord, last: float = 0.0, boot_id: str = "boot") -> None:
        self.monitor = self._monitor(boot_id)
        self.monitor.restore(record, last or self.wall)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds
