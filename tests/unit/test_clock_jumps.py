"""A jump of the wall clock neither hastens nor delays a decision, and adds nothing to a duration."""

from typing import Final

import pytest

from libvirt_lifecycle_exporter.engine.hang_signals import DEFAULT_THRESHOLDS
from libvirt_lifecycle_exporter.model.messages import ConnectionUp, Message, ProbeAnswer, ProbeResults
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.fake_clocks import Clocks
from tests.unit.rig import Rig
from tests.unit.seen import HERE, facts, lifecycle, look, observation, snapshot

DAY, HOUR = 86_400.0, 3600.0
JUMPS: Final = pytest.mark.parametrize("jump", [40 * DAY, -2 * HOUR])
SECONDS: Final = "libvirt_domain_operation_duration_seconds_sum"


class Jumping(Rig):
    """The pipeline with clocks that a test sets; its connection is up and `web` runs."""

    def __init__(self) -> None:
        self.clocks = Clocks()
        super().__init__(monitor=self.clocks.monitor)
        self.feed(ConnectionUp(self.clocks.wall, HERE), snapshot(facts("web"), at=self.clocks.wall))

    def wait(self, seconds: float) -> None:
        self.clocks.wait(seconds)
        self.later(seconds)

    def jump(self, seconds: float) -> None:
        self.clocks.wall += seconds
        self.worker.tick()

    def happens(self, event: str, reason: str) -> None:
        self.feed(lifecycle(event, reason, at=self.clocks.wall))

    def probes(self, answer: ProbeAnswer, signal: str) -> None:
        self.feed(ProbeResults(self.clocks.wall, HERE, signal, (answer,)))

    def found(self) -> list[tuple[str, str]]:
        return [(change.event, change.reason) for change in self.notebook.transitions]


@JUMPS
def test_verdict_waits_as_long_as_without_a_jump(jump: float) -> None:
    rig = Jumping()
    rig.happens("stopped", "failed")
    rig.wait(0.5)
    rig.jump(jump)
    assert rig.found() == []
    rig.wait(1.25)
    assert rig.found() == [("stopped", "crashed")]


@JUMPS
def test_second_lookup_is_requested_in_time(jump: float) -> None:
    rig = Jumping()
    off: Message = snapshot(facts("web", "shutoff", "shutdown"), at=rig.clocks.wall)
    rig.feed(off)
    rig.asked.looks.clear()
    rig.jump(jump)
    assert not rig.asked.looks, "too early"
    rig.wait(1.25)
    assert "uuid-web" in rig.asked.looks
    rig.feed(look("web", facts("web", "shutoff", "shutdown"), at=rig.clocks.wall))
    assert rig.found() == [("stopped", "shutdown")]


@JUMPS
def test_series_expire_after_their_retention_time(jump: float) -> None:
    rig = Jumping()
    rig.happens("stopped", "destroyed")
    rig.happens("undefined", "removed")

    def stays() -> bool:
        return value(rig.sink, EVENTS, domain="web", event="stopped", reason="destroyed") == 1

    rig.wait(60)
    rig.jump(jump)
    rig.wait(10)
    assert stays()
    rig.jump(-jump)
    rig.wait(820)
    assert stays()
    rig.wait(20)
    assert not stays()


def test_stop_from_before_the_jump_keeps_its_series() -> None:
    rig = Jumping()
    rig.wait(1)
    rig.message_queue.put(lifecycle("stopped", "destroyed", at=rig.clocks.wall))
    rig.message_queue.put(lifecycle("undefined", "removed", at=rig.clocks.wall))
    rig.clocks.wall += 40 * DAY
    rig.feed()
    rig.wait(10)
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="destroyed") == 1


@JUMPS
def test_jump_adds_nothing_to_a_pause(jump: float) -> None:
    rig = Jumping()
    rig.happens("suspended", "paused")
    rig.wait(10)
    rig.jump(jump)
    rig.happens("resumed", "unpaused")
    assert value(rig.sink, SECONDS, operation="pause", outcome="success") == pytest.approx(10)


@JUMPS
def test_jump_adds_nothing_to_an_outage(jump: float) -> None:
    rig = Jumping()
    rig.happens("stopped", "crashed")
    rig.wait(10)
    rig.jump(jump)
    rig.happens("started", "booted")
    assert value(rig.sink, SECONDS, operation="outage", outcome="success") == pytest.approx(10)


@JUMPS
def test_jump_is_no_hang_of_the_emulator(jump: float) -> None:
    rig = Jumping()
    for seconds in (2.0, 4.0):
        rig.probes(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        rig.wait(2)
    rig.jump(jump)
    for seconds in (8.0, 10.0, 12.0):
        rig.probes(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        rig.wait(2)
    assert rig.found() == []
    rig.wait(4)
    for seconds in (18.0, 20.0):
        rig.probes(ProbeAnswer("uuid-web", "silent", seconds, "another client"), "emulator")
        rig.wait(2)
    assert rig.found() == [("hung", "emulator")], "nor does it delay one"


@JUMPS
def test_watchdog_recovery_is_not_changed_by_a_jump(jump: float) -> None:
    rig = Jumping()
    rig.feed(observation("watchdog", 0, 3, at=rig.clocks.wall))
    rig.feed(observation("reboot", at=rig.clocks.wall))
    rig.wait(5)
    rig.jump(jump)
    rig.wait(5)
    assert "recovered" not in dict(rig.found())
    rig.wait(DEFAULT_THRESHOLDS.watchdog)
    assert "recovered" in dict(rig.found())
