"""libvirtd is absent, restarted, killed or frozen: afterwards new events arrive and are counted once. A
connection that is open but receives no events is a common bug.
"""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guests
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.event_comparison import assert_counts_match

SHORT_TIMEOUTS = (
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
    *("--libvirt.reconnect-max-delay", "1s"),
)
DETECTION_TIME = 2.0
"""Seconds after which a connection counts as lost: keepalive interval x count."""
TIMEOUT = 60.0
SHOWN_WITHIN = 1.0


@dataclass(frozen=True)
class DaemonHarness:
    """A daemon, the recorder of its events, and an exporter."""

    daemon: Daemon
    recorder: EventRecorder
    guests: Guests
    exporter: Exporter

    def driver(self, name: str) -> DomainDriver:
        return DomainDriver(name, IDLE, self.daemon, self.guests, self.recorder)

    def wait_connection(self, *, up: bool, lost: int = 0) -> None:
        """Wait for the state of the connection; `lost`: minimum number of reconnects."""

        def is_shown() -> bool:
            again = self.exporter.value("libvirt_connection_reconnects_total") or 0
            return self.exporter.value("libvirt_connection_up") == up and again >= lost

        self.exporter.wait_until(is_shown, TIMEOUT, f"the connection to be {'up' if up else 'down'}")

    def assert_events_arrive(self) -> None:
        with managed_domain(self.driver("after")) as driver:
            driver.boot()
        assert self.recorder.pairs("after")["started", "booted"] == 1
        assert_counts_match(self.exporter, self.recorder, "after")


@pytest.fixture
def harness(own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests) -> Iterator[DaemonHarness]:
    with Exporter(own_daemon.root, [own_daemon.uri], extra_args=SHORT_TIMEOUTS) as exporter:
        yield DaemonHarness(own_daemon, own_recorder, guests, exporter)


def kill_and_start(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


LOSSES = {"restarted": Daemon.restart, "killed": kill_and_start}


@pytest.fixture(params=LOSSES)
def lose(request: pytest.FixtureRequest) -> Callable[[Daemon], None]:
    return LOSSES[request.param]


def test_events_are_counted_after_each_reconnect(
    harness: DaemonHarness, lose: Callable[[Daemon], None]
) -> None:
    for times in (1, 2):
        lose(harness.daemon)
        harness.recorder.wait_connected(times + 1)
        harness.wait_connection(up=True, lost=times)
    harness.assert_events_arrive()


def test_guest_that_survives_the_daemon_is_observed_again(
    harness: DaemonHarness, lose: Callable[[Daemon], None]
) -> None:
    with managed_domain(harness.driver("outlives")) as driver:
        driver.boot()
        emulator = harness.daemon.emulator_pid("outlives")
        driver.close()
        lose(harness.daemon)
        harness.recorder.wait_connected(2)
        harness.wait_connection(up=True, lost=1)
        assert harness.daemon.emulator_pid("outlives") == emulator
        driver.reopen()
        driver.signal_emulator(signal.SIGKILL)
        driver.wait_event("stopped/failed")
    assert_counts_match(harness.exporter, harness.recorder, "outlives")


def test_lost_connection_is_shown_and_metrics_remain(harness: DaemonHarness) -> None:
    harness.daemon.kill()
    harness.wait_connection(up=False)
    assert harness.exporter.status("/-/healthy") == 200
    harness.daemon.start()
    harness.recorder.wait_connected(2)
    harness.wait_connection(up=True, lost=1)
    harness.assert_events_arrive()


def test_frozen_daemon_is_detected_and_reconnected(harness: DaemonHarness) -> None:
    harness.daemon.freeze()
    harness.wait_connection(up=False)
    harness.daemon.thaw()
    harness.wait_connection(up=True, lost=1)
    unobserved = harness.exporter.value("libvirt_connection_unobserved_seconds_total")
    assert unobserved is not None
    assert unobserved >= DETECTION_TIME, "the time before the detection counts"
    harness.assert_events_arrive()


def test_daemon_killed_while_frozen_is_reconnected(harness: DaemonHarness) -> None:
    """The attempt to connect to the frozen daemon hangs; it must not block the next attempt."""
    harness.daemon.freeze()
    harness.wait_connection(up=False)
    harness.daemon.kill()
    harness.daemon.start()
    harness.recorder.wait_connected(2)
    harness.wait_connection(up=True, lost=1)
    harness.assert_events_arrive()


def test_daemon_that_starts_later_is_connected(
    own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests
) -> None:
    own_daemon.stop()
    with Exporter(own_daemon.root, [own_daemon.uri], extra_args=SHORT_TIMEOUTS, ready=False) as exporter:
        harness = DaemonHarness(own_daemon, own_recorder, guests, exporter)
        harness.wait_connection(up=False)
        assert exporter.status("/-/ready") == 503
        own_daemon.start()
        own_recorder.wait_connected(2)
        exporter.wait_ready()
        harness.wait_connection(up=True)
        harness.assert_events_arrive()


def test_killed_emulator_is_shown_within_a_second(harness: DaemonHarness) -> None:
    """Measured from the event of libvirt, which may be late itself."""
    with managed_domain(harness.driver("killed")) as driver:
        driver.boot()
        driver.signal_emulator(signal.SIGKILL)
        harness.exporter.wait_until(
            lambda: harness.exporter.lifecycle_counts("killed")["stopped", "crashed"], TIMEOUT, "the stop"
        )
        shown = time.monotonic()
        sent = harness.recorder.wait_for("killed", "stopped").time
    print(f"shown {shown - sent:.3f} s after libvirt sent the event")
    assert shown - sent < SHOWN_WITHIN
