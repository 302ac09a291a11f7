"""Hangs of emulators and their recovery."""

import pytest

from libvirt_lifecycle_exporter.engine.hangs import EXCUSED, RUNNING_STATES
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.states import STATE_REASONS
from tests.unit.factories import HERE, transition
from tests.unit.hang_scenario import HUNG, RECOVERED, HangScenario, make_hung


def test_emulator_is_hung_until_its_monitor_answers() -> None:
    scenario = make_hung(HangScenario())
    scenario.advance(27)
    assert scenario.emulator(42) == []
    assert scenario.emulator(None) == RECOVERED
    assert scenario.signals == ()
    first, last = scenario.transitions
    assert first.message == "the emulator's monitor has not answered for 15 s; waiting client: a friend"
    assert last.message == "the emulator's monitor answers again, after 42 s"
    assert (first.source, first.detail_code, first.domain_id) == ("probe", -1, 7)


def test_one_silent_answer_is_not_enough() -> None:
    """A daemon that was frozen reports a silent monitor for a moment."""
    scenario = HangScenario()
    assert scenario.emulator(100) == []
    scenario.advance(0.5)
    assert scenario.emulator(100.5) == []
    scenario.advance(0.5)
    assert scenario.emulator(101) == HUNG


def test_short_waits_do_not_add_up_to_a_hang() -> None:
    scenario = HangScenario()
    for _ in range(30):
        assert scenario.emulator(2) == []
        scenario.advance(2)


def test_clock_step_is_no_hang() -> None:
    scenario = HangScenario()
    assert scenario.emulator(1) == []
    scenario.advance(3600)
    assert scenario.emulator(2) == []
    scenario.advance(-7200)
    assert scenario.emulator(3) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (state, reason)
        for state, reasons in STATE_REASONS.items()
        for reason in reasons
        if state not in RUNNING_STATES or (state, reason) in EXCUSED
    ],
)
def test_silence_in_an_excused_state_is_no_hang(state: str, reason: str) -> None:
    scenario = HangScenario()
    scenario.domain.enter(state, reason, scenario.now)
    for seconds in range(0, 300, 10):
        assert scenario.emulator(seconds) == []
        for signal in ("guest_agent", "vcpu"):
            assert scenario.answer(signal, "answered" if seconds < 20 or signal == "vcpu" else "silent") == []
        scenario.advance(10)


def test_silence_is_measured_from_the_last_event() -> None:
    scenario = HangScenario()
    scenario.emulator(14)
    scenario.apply_event("suspended", "paused")
    scenario.apply_event("resumed", "unpaused")
    scenario.advance(14)
    assert scenario.emulator(28) == []
    scenario.advance(1)
    assert scenario.emulator(29) == HUNG


def test_monitor_busy_with_a_job_is_no_hang() -> None:
    scenario = HangScenario()
    for _ in range(20):
        assert scenario.answer("emulator", "busy") == []
        scenario.advance(10)


def test_silence_while_disconnected_is_no_hang() -> None:
    scenario = HangScenario()
    scenario.emulator(14)
    scenario.hangs.set_connection(HERE, scenario.now, up=False)
    scenario.advance(60)
    assert scenario.emulator(74) == []
    scenario.hangs.set_connection(HERE, scenario.now, up=True)
    scenario.advance(1)
    assert scenario.emulator(75) == []
    scenario.advance(13)
    assert scenario.emulator(88) == []
    scenario.advance(1)
    assert scenario.emulator(89) == HUNG


def test_hang_survives_a_lost_connection() -> None:
    scenario = make_hung(HangScenario())
    scenario.hangs.set_connection(HERE, scenario.now, up=False)
    scenario.advance(5)
    scenario.hangs.set_connection(HERE, scenario.now, up=True)
    assert scenario.emulator(3) == []
    assert scenario.signals == ("emulator",)
    assert scenario.emulator(None) == RECOVERED


def test_answer_in_any_state_is_a_recovery() -> None:
    scenario = make_hung(HangScenario())
    scenario.domain.enter("paused", "user", scenario.now)
    assert scenario.emulator(None) == RECOVERED


@pytest.mark.parametrize(
    "end", ["stopped/destroyed", "stopped/crashed", "stopped/migrated", "started/booted"]
)
def test_end_of_the_run_ends_the_hang(end: str) -> None:
    scenario = make_hung(HangScenario())
    scenario.apply_event(*end.split("/"))
    assert scenario.signals == ()
    assert scenario.emulator(None) == []


def test_late_verdict_of_the_last_run_changes_nothing() -> None:
    scenario = make_hung(HangScenario())
    stop = transition("stopped", "crashed", at=scenario.now - 100)
    assert scenario.apply(stop) == []
    assert scenario.signals == ("emulator",)


def test_wakeup_begins_no_new_run() -> None:
    scenario = HangScenario()
    scenario.apply_event("watchdog", "none")
    scenario.apply_event("started", "wakeup")
    assert scenario.signals == ("watchdog",)


def test_unknown_or_removed_domain_is_never_hung() -> None:
    scenario = HangScenario()
    scenario.domain.present = False
    scenario.emulator(100)
    scenario.advance(1)
    assert scenario.emulator(101) == []
    found = scenario.hangs.evaluate_probes(
        ProbeResults(1.0, HERE, "emulator", (ProbeAnswer("uuid-unknown", "silent", 99.0),))
    )
    assert found == []


def test_forgotten_domain_has_no_hang_state() -> None:
    scenario = HangScenario()
    scenario.apply_event("watchdog", "reset")
    scenario.records.drop(HERE, "uuid-web")
    assert scenario.signals == ()
    assert scenario.advance(100) == []
