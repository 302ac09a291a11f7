"""Jumps of the wall clock are detected, and a clock that is ahead is trusted only when it is stable."""

import logging

import pytest

from libvirt_lifecycle_exporter.runtime.clock import SETTLING_TIME, WEEK
from tests.unit.fake_clocks import Clocks

HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize("seconds", [40 * DAY, -40 * DAY, 10.0])
def test_jump_is_logged_and_counted(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clocks.wall += seconds
    assert clocks.monitor.observe() == pytest.approx(seconds)
    assert clocks.monitor.observe() == 0
    assert clocks.monitor.jumps == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_removal_time_ignores_a_clock_that_is_ahead() -> None:
    clocks = Clocks()
    true = clocks.wall
    clocks.wall += 40 * DAY
    assert clocks.monitor.removal_time() == pytest.approx(true)
    clocks.wait(SETTLING_TIME)
    assert clocks.monitor.removal_time() == pytest.approx(true + SETTLING_TIME)
    clocks.wait(WEEK - SETTLING_TIME)
    clocks.monitor.observe()
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_removal_time_follows_the_clock_back() -> None:
    clocks = Clocks()
    clocks.wall += 40 * DAY
    clocks.monitor.observe()
    clocks.wait(10)
    clocks.wall -= 40 * DAY
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)
    clocks.wall -= 2 * HOUR
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_suspend_is_no_jump() -> None:
    """Both clocks count it."""
    clocks = Clocks()
    clocks.wait(3 * DAY)
    assert clocks.monitor.observe() == 0
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_now_ignores_a_jump_until_it_is_taken() -> None:
    clocks = Clocks()
    true = clocks.wall
    clocks.wall += 40 * DAY
    clocks.monitor.observe()
    assert clocks.monitor.now() == pytest.approx(true)
    assert clocks.monitor.take_jump() == pytest.approx(40 * DAY)
    assert clocks.monitor.now() == pytest.approx(clocks.wall)
    assert clocks.monitor.take_jump() == 0


def test_restart_while_ahead_does_not_trust_the_clock() -> None:
    clocks = Clocks()
    true = clocks.wall
    clocks.wall += 40 * DAY
    clocks.monitor.take_jump()
    for _ in range(10):
        clocks.wait(60)
        clocks.restart(clocks.monitor.record())
    assert clocks.monitor.jumps == 0, "it was counted before"
    assert clocks.monitor.removal_time() == pytest.approx(true + 600)
    clocks.wall -= 40 * DAY
    assert clocks.monitor.take_jump() == pytest.approx(-40 * DAY)
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_restarts_do_not_delay_trust() -> None:
    clocks = Clocks()
    clocks.wall += 40 * DAY
    clocks.monitor.take_jump()
    for _ in range(8):
        clocks.wait(DAY)
        clocks.restart(clocks.monitor.record())
    clocks.monitor.observe()
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_jump_during_a_restart_is_observed() -> None:
    clocks = Clocks()
    record = clocks.monitor.record()
    clocks.wait(60)
    clocks.wall += 40 * DAY
    clocks.restart(record)
    assert clocks.monitor.take_jump() == pytest.approx(40 * DAY)
    assert clocks.monitor.jumps == 1
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall - 40 * DAY)


@pytest.mark.parametrize("ahead", [60.0, 6 * DAY])
def test_short_outage_across_a_reboot_is_trusted(ahead: float) -> None:
    clocks = Clocks()
    record, last = clocks.monitor.record(), clocks.wall
    clocks.wall, clocks.steady = last + ahead, 20.0
    clocks.restart(record, last, boot_id="another")
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


@pytest.mark.parametrize(("ahead", "settles"), [(40 * DAY, WEEK), (-2 * HOUR, SETTLING_TIME)])
def test_doubtful_clock_after_a_reboot_must_settle(ahead: float, settles: float) -> None:
    clocks = Clocks()
    record, last = clocks.monitor.record(), clocks.wall
    clocks.wall, clocks.steady = last + ahead, 20.0
    clocks.restart(record, last, boot_id="another")
    assert clocks.monitor.removal_time() == pytest.approx(min(last, clocks.wall))
    clocks.wait(settles)
    clocks.monitor.observe()
    assert clocks.monitor.removal_time() == pytest.approx(clocks.wall)


def test_slewing_is_no_jump() -> None:
    clocks = Clocks()
    for _ in range(1000):
        clocks.wait(5)
        clocks.wall += 0.4
        assert clocks.monitor.observe() == 0
