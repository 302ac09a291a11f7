"""libvirtd that is not there, goes away, dies or freezes: afterwards events flow again, which is proven by
an event that is counted, once. "Reconnected, but deaf" is the classic bug of this field."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guests
from tests.qemu.ledger import counts_agree
from tests.qemu.stage import Stage, on_stage

IMPATIENT = (
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
    *("--libvirt.reconnect-max-delay", "1s"),
)
SILENCE = 2.0
"""Seconds after which it takes the connection for lost: interval x count."""
PATIENCE = 60.0
SHOWN_WITHIN = 1.0


@dataclass(frozen=True)
class Post:
    """A daemon to lose, who watches it, and who watches the watcher."""

    daemon: Daemon
    recorder: EventRecorder
    guests: Guests
    exporter: Exporter

    def stage(self, name: str) -> Stage:
        return Stage(name, IDLE, self.daemon, self.guests, self.recorder)

    def sees_connection(self, *, up: bool, lost: int = 0) -> None:
        """`lost`: how often it was, and has been opened again."""

        def told() -> bool:
            again = self.exporter.value("libvirt_connection_reconnects_total") or 0
            return self.exporter.value("libvirt_connection_up") == up and again >= lost

        self.exporter.wait_until(told, PATIENCE, f"the connection to be {'up' if up else 'down'}")

    def proves_that_events_flow(self) -> None:
        with on_stage(self.stage("after")) as stage:
            stage.boot()
        assert self.recorder.pairs("after")["started", "booted"] == 1
        counts_agree(self.exporter, self.recorder, "after")


@pytest.fixture
def post(own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests) -> Iterator[Post]:
    with Exporter(own_daemon.root, [own_daemon.uri], extra_args=IMPATIENT) as exporter:
        yield Post(own_daemon, own_recorder, guests, exporter)


def killed_and_started_again(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


LOSSES = {"restarted": Daemon.restart, "killed": killed_and_started_again}


@pytest.fixture(params=LOSSES)
def lose(request: pytest.FixtureRequest) -> Callable[[Daemon], None]:
    return LOSSES[request.param]


def test_events_are_counted_after_each_reconnect(post: Post, lose: Callable[[Daemon], None]) -> None:
    for times in (1, 2):
        lose(post.daemon)
        post.recorder.wait_connected(times + 1)
        post.sees_connection(up=True, lost=times)
    post.proves_that_events_flow()


def test_guest_that_survives_the_daemon_is_observed_again(post: Post, lose: Callable[[Daemon], None]) -> None:
    with on_stage(post.stage("outlives")) as stage:
        stage.boot()
        emulator = post.daemon.emulator_pid("outlives")
        stage.close()
        lose(post.daemon)
        post.recorder.wait_connected(2)
        post.sees_connection(up=True, lost=1)
        assert post.daemon.emulator_pid("outlives") == emulator
        stage.reopen()
        stage.emulator(signal.SIGKILL)
        stage.sees("stopped/failed")
    counts_agree(post.exporter, post.recorder, "outlives")


def test_lost_connection_is_shown_and_metrics_remain(post: Post) -> None:
    post.daemon.kill()
    post.sees_connection(up=False)
    assert post.exporter.status("/-/healthy") == 200
    post.daemon.start()
    post.recorder.wait_connected(2)
    post.sees_connection(up=True, lost=1)
    post.proves_that_events_flow()


def test_frozen_daemon_is_detected_and_reconnected(post: Post) -> None:
    post.daemon.freeze()
    post.sees_connection(up=False)
    post.daemon.thaw()
    post.sees_connection(up=True, lost=1)
    blind = post.exporter.value("libvirt_connection_unobserved_seconds_total")
    assert blind is not None
    assert blind >= SILENCE, "it was deaf before it was noticed"
    post.proves_that_events_flow()


def test_daemon_killed_while_frozen_is_reconnected(post: Post) -> None:
    """The attempt to connect hangs in the frozen one; it must not hang the next."""
    post.daemon.freeze()
    post.sees_connection(up=False)
    post.daemon.kill()
    post.daemon.start()
    post.recorder.wait_connected(2)
    post.sees_connection(up=True, lost=1)
    post.proves_that_events_flow()


def test_daemon_that_starts_later_is_connected(
    own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests
) -> None:
    own_daemon.stop()
    with Exporter(own_daemon.root, [own_daemon.uri], extra_args=IMPATIENT, ready=False) as exporter:
        post = Post(own_daemon, own_recorder, guests, exporter)
        post.sees_connection(up=False)
        assert exporter.status("/-/ready") == 503
        own_daemon.start()
        own_recorder.wait_connected(2)
        exporter.wait_ready()
        post.sees_connection(up=True)
        post.proves_that_events_flow()


def test_killed_emulator_is_shown_within_a_second(post: Post) -> None:
    """Counted from when libvirt said so: how soon it does is libvirt's affair."""
    with on_stage(post.stage("killed")) as stage:
        stage.boot()
        stage.emulator(signal.SIGKILL)
        post.exporter.wait_until(
            lambda: post.exporter.lifecycle_counts("killed")["stopped", "crashed"], PATIENCE, "the stop"
        )
        shown = time.monotonic()
        said = post.recorder.wait_for("killed", "stopped").time
    print(f"shown {shown - said:.3f} s after libvirt said so")
    assert shown - said < SHOWN_WITHIN
