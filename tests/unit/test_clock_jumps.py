"""A jump of the wall clock does not change when decisions are made, nor any duration."""

from typing import Final

import pytest

from libvirt_lifecycle_exporter.engine.hang_signals import DEFAULT_THRESHOLDS
from libvirt_lifecycle_exporter.model.messages import ConnectionUp, Message, ProbeAnswer, ProbeResults
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup, observation
from tests.unit.fake_clocks import Clocks
from tests.unit.worker_harness import WorkerHarness

DAY, HOUR = 86_400.0, 3600.0
JUMPS: Final = pytest.mark.parametrize("jump", [40 * DAY, -2 * HOUR])
SECONDS: Final = "libvirt_domain_operation_duration_seconds_sum"


class ClockHarness(WorkerHarness):
    """Worker harness with fake clocks; the connection is up and `web` runs."""

    def __init__(self) -> None:
        self.clocks = Clocks()
        super().__init__(monitor=self.clocks.monitor)
        self.feed(ConnectionUp(self.clocks.wall, HERE), listing(facts("web"), at=self.clocks.wall))

    def wait(self, seconds: float) -> None:
        self.clocks.wait(seconds)
        self.advance(seconds)

    def jump(self, seconds: float) -> None:
        self.clocks.wall += seconds
        self.worker.tick()

    def apply_event(self, event: str, reason: str) -> None:
        self.feed(lifecycle(event, reason, at=self.clocks.wall))

    def apply_probe(self, answer: ProbeAnswer, signal: str) -> None:
        self.feed(ProbeResults(self.clocks.wall, HERE, signal, (answer,)))

    def transitions(self) -> list[tuple[str, str]]:
        return [(change.event, change.reason) for change in self.journal.transitions]


@JUMPS
def test_verdict_waits_as_long_as_without_a_jump(jump: float) -> None:
    harness = ClockHarness()
    harness.apply_event("stopped", "failed")
    harness.wait(0.5)
    harness.jump(jump)
    assert harness.transitions() == []
    harness.wait(1.25)
    assert harness.transitions() == [("stopped", "crashed")]


@JUMPS
def test_second_lookup_is_requested_in_time(jump: float) -> None:
    harness = ClockHarness()
    off: Message = listing(facts("web", "shutoff", "shutdown"), at=harness.clocks.wall)
    harness.feed(off)
    harness.requests.lookups.clear()
    harness.jump(jump)
    assert not harness.requests.lookups, "too early"
    harness.wait(1.25)
    assert "uuid-web" in harness.requests.lookups
    harness.feed(lookup("web", facts("web", "shutoff", "shutdown"), at=harness.clocks.wall))
    assert harness.transitions() == [("stopped", "shutdown")]


@JUMPS
def test_series_expire_after_their_retention_time(jump: float) -> None:
    harness = ClockHarness()
    harness.apply_event("stopped", "destroyed")
    harness.apply_event("undefined", "removed")

    def has_series() -> bool:
        return value(harness.metrics, EVENTS, domain="web", event="stopped", reason="destroyed") == 1

    harness.wait(60)
    harness.jump(jump)
    harness.wait(10)
    assert has_series()
    harness.jump(-jump)
    harness.wait(820)
    assert has_series()
    harness.wait(20)
    assert not has_series()


def test_stop_from_before_the_jump_keeps_its_series() -> None:
    harness = ClockHarness()
    harness.wait(1)
    harness.message_queue.put(lifecycle("stopped", "destroyed", at=harness.clocks.wall))
    harness.message_queue.put(lifecycle("undefined", "removed", at=harness.clocks.wall))
    harness.clocks.wall += 40 * DAY
    harness.feed()
    harness.wait(10)
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="destroyed") == 1


@JUMPS
def test_jump_adds_nothing_to_a_pause(jump: float) -> None:
    harness = ClockHarness()
    harness.apply_event("suspended", "paused")
    harness.wait(10)
    harness.jump(jump)
    harness.apply_event("resumed", "unpaused")
    assert value(harness.metrics, SECONDS, operation="pause", outcome="success") == pytest.approx(10)


@JUMPS
def test_jump_adds_nothing_to_an_outage(jump: float) -> None:
    harness = ClockHarness()
    harness.apply_event("stopped", "crashed")
    harness.wait(10)
    harness.jump(jump)
    harness.apply_event("started", "booted")
    assert value(harness.metrics, SECONDS, operation="outage", outcome="success") == pytest.approx(10)


@JUMPS
def test_jump_is_no_hang_of_the_emulator(jump: float) -> None:
    harness = ClockHarness()
    for seconds in (2.0, 4.0):
        harness.apply_probe(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        harness.wait(2)
    harness.jump(jump)
    for seconds in (8.0, 10.0, 12.0):
        harness.apply_probe(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        harness.wait(2)
    assert harness.transitions() == []
    harness.wait(4)
    for seconds in (18.0, 20.0):
        harness.apply_probe(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        harness.wait(2)
    assert harness.transitions() == [("hung", "emulator")], "nor does it delay one"


@JUMPS
def test_watchdog_recovery_is_not_changed_by_a_jump(jump: float) -> None:
    harness = ClockHarness()
    harness.feed(observation("watchdog", 0, 3, at=harness.clocks.wall))
    harness.feed(observation("reboot", at=harness.clocks.wall))
    harness.wait(5)
    harness.jump(jump)
    harness.wait(5)
    assert "recovered" not in dict(harness.transitions())
    harness.wait(DEFAULT_THRESHOLDS.watchdog)
    assert "recovered" in dict(harness.transitions())
