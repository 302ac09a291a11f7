"""Jumps of the wall clock are detected, and the clock is trusted only when it is stable."""

import logging

import pytest

from libvirt_lifecycle_exporter.clock import SETTLE, ClockMonitor

DAY = 86_400.0


class Clocks:
    """A wall clock and a steady clock that a test sets."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_700_000_000.0, 1000.0
        self.monitor = ClockMonitor(lambda: self.wall, lambda: self.steady)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_clock_without_jump_is_trusted_after_a_while() -> None:
    clocks = Clocks()
    assert not clocks.monitor.is_trusted()
    clocks.wait(SETTLE)
    assert clocks.monitor.is_trusted()
    assert clocks.monitor.jumps == 0


@pytest.mark.parametrize("seconds", [40 * DAY, -40 * DAY, 10.0])
def test_jump_is_logged_and_counted(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.wall += seconds
    assert clocks.monitor.observe() == pytest.approx(seconds)
    assert clocks.monitor.observe() == 0
    assert clocks.monitor.jumps == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_clock_is_not_trusted_after_a_jump() -> None:
    clocks = Clocks()
    clocks.wait(SETTLE)
    assert clocks.monitor.is_trusted()
    clocks.wall += 40 * DAY
    assert not clocks.monitor.is_trusted()
    clocks.wait(SETTLE)
    assert not clocks.monitor.is_trusted(), "far ahead, it must be stable for longer"
    clocks.wall -= 40 * DAY
    assert not clocks.monitor.is_trusted()
    clocks.wait(SETTLE)
    assert clocks.monitor.is_trusted()


def test_slewing_is_no_jump() -> None:
    clocks = Clocks()
    for _ in range(1000):
        clocks.wait(5)
        clocks.wall += 0.4
        assert clocks.monitor.observe() == 0
