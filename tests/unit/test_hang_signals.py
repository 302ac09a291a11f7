"""Hangs of guests by watchdog, guest agent and virtual CPUs; restored hangs."""

import pytest

from libvirt_lifecycle_exporter.engine.hangs import Hang
from tests.unit.factories import HERE, observation
from tests.unit.hang_scenario import RECOVERED, HangScenario, Pairs

# The watchdog

WATCHDOG_HUNG, WATCHDOG_RECOVERED = [("hung", "watchdog")], [("recovered", "watchdog")]


@pytest.mark.parametrize("action", ["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"])
def test_expired_watchdog_is_a_hang_with_every_action(action: str) -> None:
    scenario = HangScenario()
    assert scenario.apply_event("watchdog", action) == WATCHDOG_HUNG
    assert (scenario.transitions[0].source, scenario.transitions[0].reason) == ("callback", "watchdog")
    assert scenario.apply_event("watchdog", action) == []
    assert scenario.advance(10_000) == []


@pytest.mark.parametrize("recovery", ["rebooted/reset", "resumed/unpaused"])
def test_guest_recovers_after_reset_or_resume_when_it_runs(recovery: str) -> None:
    scenario = HangScenario()
    scenario.apply_event("watchdog", "reset")
    scenario.advance(5)
    scenario.apply_event(*recovery.split("/"))
    assert scenario.advance(29) == []
    assert scenario.advance(1) == WATCHDOG_RECOVERED
    assert scenario.advance(100) == []
    assert scenario.transitions[-1].message == "the guest has run on for 30 s"


@pytest.mark.parametrize(
    "setback", ["watchdog/reset", "suspended/watchdog", "suspended/paused", "crashed/panicked"]
)
def test_setback_restarts_the_recovery_time(setback: str) -> None:
    scenario = HangScenario()
    scenario.apply_event("watchdog", "reset")
    scenario.apply_event("rebooted", "reset")
    scenario.advance(29)
    assert scenario.apply_event(*setback.split("/")) == []
    assert scenario.advance(100) == []
    scenario.apply_event("resumed", "unpaused")
    assert scenario.advance(29) == []
    assert scenario.advance(1) == WATCHDOG_RECOVERED


def test_clock_that_steps_back_does_not_delay_recovery() -> None:
    scenario = HangScenario()
    scenario.apply_event("watchdog", "reset")
    scenario.apply_event("rebooted", "reset")
    assert scenario.advance(-3600) == []
    assert scenario.advance(30) == WATCHDOG_RECOVERED


# The guest agent

AGENT_HUNG, AGENT_RECOVERED = [("hung", "guest_agent")], [("recovered", "guest_agent")]


def test_agent_that_never_answered_is_no_hang() -> None:
    scenario = HangScenario()
    for _ in range(20):
        assert scenario.answer("guest_agent", "silent", 5) == []
        scenario.advance(30)


def test_three_missed_answers_are_a_hang_until_the_next() -> None:
    scenario = HangScenario()
    scenario.answer("guest_agent", "answered")
    found = []
    for _ in range(5):
        scenario.advance(30)
        found += scenario.answer("guest_agent", "silent", 5)
    assert found == AGENT_HUNG
    assert scenario.transitions[0].message == "the guest agent did not answer 3 times in 65 s"
    assert scenario.answer("guest_agent", "answered") == AGENT_RECOVERED


@pytest.mark.parametrize("between", ["answered", "absent"])
def test_two_missed_answers_are_no_hang(between: str) -> None:
    scenario = HangScenario()
    for _ in range(10):
        scenario.answer("guest_agent", "answered")
        assert scenario.answer("guest_agent", "silent", 5) == []
        assert scenario.answer("guest_agent", "silent", 5) == []
        assert scenario.answer("guest_agent", between) == []


def test_guest_that_closes_the_channel_has_recovered() -> None:
    scenario = HangScenario()
    scenario.answer("guest_agent", "answered")
    for _ in range(3):
        scenario.answer("guest_agent", "silent", 5)
    assert scenario.signals == ("guest_agent",)
    assert (
        scenario.record(
            scenario.hangs.apply_agent_event(observation("agent_lifecycle", 1, 2, at=scenario.now))
        )
        == []
    )
    assert (
        scenario.record(
            scenario.hangs.apply_agent_event(observation("agent_lifecycle", 2, 2, at=scenario.now))
        )
        == AGENT_RECOVERED
    )
    for _ in range(5):
        assert scenario.answer("guest_agent", "silent", 5) == []


def test_agent_of_another_run_must_answer_first() -> None:
    scenario = HangScenario()
    scenario.answer("guest_agent", "answered")
    scenario.apply_event("stopped", "shutdown")
    scenario.apply_event("started", "booted")
    for _ in range(5):
        assert scenario.answer("guest_agent", "silent", 5) == []


# The virtual CPUs

VCPU_HUNG, VCPU_RECOVERED = [("hung", "vcpu")], [("recovered", "vcpu")]


def probe_vcpu(scenario: HangScenario, *ran: int, interval: float = 20.0) -> Pairs:
    found = []
    for nanoseconds in ran:
        found += scenario.answer("vcpu", "answered", ran=nanoseconds)
        scenario.advance(interval)
    return found


def test_no_progress_in_the_whole_window_is_a_hang() -> None:
    scenario = HangScenario()
    assert probe_vcpu(scenario, 5, 5, 5) == []
    assert probe_vcpu(scenario, 5) == VCPU_HUNG
    assert scenario.transitions[0].message == "no virtual CPU has run for 60 s"
    assert probe_vcpu(scenario, 5, 5) == []


def test_minimal_progress_is_no_hang() -> None:
    assert probe_vcpu(HangScenario(), 1, 1, 1, 2, 2, 2, 3, 3, 3, 4) == []


def test_sporadic_progress_is_no_recovery() -> None:
    scenario = HangScenario()
    probe_vcpu(scenario, 5, 5, 5, 5)
    assert probe_vcpu(scenario, 6, 6, 6, 6, 7, 7, 7, 7) == []
    assert scenario.signals == ("vcpu",)
    assert probe_vcpu(scenario, 8, 9) == VCPU_RECOVERED


def test_window_without_probes_is_no_hang() -> None:
    """The host or the exporter was suspended."""
    scenario = HangScenario()
    assert probe_vcpu(scenario, 5, 5) == []
    scenario.advance(3600)
    assert probe_vcpu(scenario, 5, 5, 5) == []
    assert probe_vcpu(scenario, 5) == VCPU_HUNG


def test_pause_is_no_hang() -> None:
    scenario = HangScenario()
    probe_vcpu(scenario, 5, 5, 5)
    scenario.apply_event("suspended", "paused")
    scenario.apply_event("resumed", "unpaused")
    assert probe_vcpu(scenario, 5, 5, 5) == []
    assert probe_vcpu(scenario, 5) == VCPU_HUNG


def test_domain_without_vcpu_figures_is_never_hung() -> None:
    scenario = HangScenario()
    for _ in range(10):
        assert scenario.answer("vcpu", "absent") == []
        scenario.advance(20)


# After a restart of the exporter


def restored(**last: float) -> HangScenario:
    scenario = HangScenario()
    counts = {(HERE, "web", *what.split("_", 1)): (1, at) for what, at in last.items()}
    scenario.hangs.restore([Hang(HERE, "uuid-web", "web", 100.0)], counts, scenario.now)  # type: ignore[arg-type]
    return scenario


def test_restored_hang_ends_with_the_next_answer() -> None:
    scenario = restored(hung_emulator=100.0)
    assert scenario.signals == ("emulator",)
    assert scenario.emulator(950) == []
    scenario.advance(2)
    assert scenario.emulator(952) == []
    assert scenario.emulator(None) == RECOVERED


def test_only_open_hangs_are_restored() -> None:
    assert restored(hung_emulator=100.0, recovered_emulator=200.0, hung_vcpu=150.0).signals == ("vcpu",)
    assert restored(hung_emulator=99.0).signals == (), "that was another hang, which ended with its run"
    assert restored().signals == ()


def test_restored_watchdog_hang_ends_after_running() -> None:
    scenario = restored(hung_watchdog=100.0)
    assert scenario.advance(29) == []
    assert scenario.advance(1) == WATCHDOG_RECOVERED
