"""Is a guest hung: its watchdog, its agent, its virtual CPUs; and after a restart of the exporter."""

import pytest

from libvirt_lifecycle_exporter.engine.hangs import Hang
from tests.unit.seen import HERE, observation
from tests.unit.ward import WELL, Told, Ward

# The watchdog

BARK, CURED = [("hung", "watchdog")], [("recovered", "watchdog")]


@pytest.mark.parametrize("action", ["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"])
def test_expired_watchdog_is_a_hang_with_every_action(action: str) -> None:
    ward = Ward()
    assert ward.happens("watchdog", action) == BARK
    assert (ward.told[0].source, ward.told[0].reason) == ("callback", "watchdog")
    assert ward.happens("watchdog", action) == []
    assert ward.later(10_000) == []


@pytest.mark.parametrize("cure", ["rebooted/reset", "resumed/unpaused"])
def test_guest_recovers_after_reset_or_resume_when_it_runs(cure: str) -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.later(5)
    ward.happens(*cure.split("/"))
    assert ward.later(29) == []
    assert ward.later(1) == CURED
    assert ward.later(100) == []
    assert ward.told[-1].message == "the guest has run on for 30 s"


@pytest.mark.parametrize(
    "setback", ["watchdog/reset", "suspended/watchdog", "suspended/paused", "crashed/panicked"]
)
def test_setback_restarts_the_recovery_time(setback: str) -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.happens("rebooted", "reset")
    ward.later(29)
    assert ward.happens(*setback.split("/")) == []
    assert ward.later(100) == []
    ward.happens("resumed", "unpaused")
    assert ward.later(29) == []
    assert ward.later(1) == CURED


def test_clock_that_steps_back_does_not_delay_recovery() -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.happens("rebooted", "reset")
    assert ward.later(-3600) == []
    assert ward.later(30) == CURED


# The guest agent

SILENT, SPEAKS = [("hung", "guest_agent")], [("recovered", "guest_agent")]


def test_agent_that_never_answered_is_no_hang() -> None:
    ward = Ward()
    for _ in range(20):
        assert ward.answer("guest_agent", "silent", 5) == []
        ward.later(30)


def test_three_missed_answers_are_a_hang_until_the_next() -> None:
    ward = Ward()
    ward.answer("guest_agent", "answered")
    told = []
    for _ in range(5):
        ward.later(30)
        told += ward.answer("guest_agent", "silent", 5)
    assert told == SILENT
    assert ward.told[0].message == "its guest agent has not answered 3 times in 65 s"
    assert ward.answer("guest_agent", "answered") == SPEAKS


@pytest.mark.parametrize("between", ["answered", "absent"])
def test_two_missed_answers_are_no_hang(between: str) -> None:
    ward = Ward()
    for _ in range(10):
        ward.answer("guest_agent", "answered")
        assert ward.answer("guest_agent", "silent", 5) == []
        assert ward.answer("guest_agent", "silent", 5) == []
        assert ward.answer("guest_agent", between) == []


def test_guest_that_closes_the_channel_has_recovered() -> None:
    ward = Ward()
    ward.answer("guest_agent", "answered")
    for _ in range(3):
        ward.answer("guest_agent", "silent", 5)
    assert ward.signals == ("guest_agent",)
    assert ward.take(ward.hangs.apply_agent_event(observation("agent_lifecycle", 1, 2, at=ward.now))) == []
    assert (
        ward.take(ward.hangs.apply_agent_event(observation("agent_lifecycle", 2, 2, at=ward.now))) == SPEAKS
    )
    for _ in range(5):
        assert ward.answer("guest_agent", "silent", 5) == []


def test_agent_of_another_run_must_answer_first() -> None:
    ward = Ward()
    ward.answer("guest_agent", "answered")
    ward.happens("stopped", "shutdown")
    ward.happens("started", "booted")
    for _ in range(5):
        assert ward.answer("guest_agent", "silent", 5) == []


# The virtual CPUs

STALLED, STIRS = [("hung", "vcpu")], [("recovered", "vcpu")]


def looks(ward: Ward, *ran: int, every: float = 20.0) -> Told:
    told = []
    for nanoseconds in ran:
        told += ward.answer("vcpu", "answered", ran=nanoseconds)
        ward.later(every)
    return told


def test_no_progress_in_the_whole_window_is_a_hang() -> None:
    ward = Ward()
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED
    assert ward.told[0].message == "no virtual CPU of it has run for 60 s"
    assert looks(ward, 5, 5) == []


def test_minimal_progress_is_no_hang() -> None:
    assert looks(Ward(), 1, 1, 1, 2, 2, 2, 3, 3, 3, 4) == []


def test_sporadic_progress_is_no_recovery() -> None:
    ward = Ward()
    looks(ward, 5, 5, 5, 5)
    assert looks(ward, 6, 6, 6, 6, 7, 7, 7, 7) == []
    assert ward.signals == ("vcpu",)
    assert looks(ward, 8, 9) == STIRS


def test_window_without_probes_is_no_hang() -> None:
    """The host, or this exporter, was asleep."""
    ward = Ward()
    assert looks(ward, 5, 5) == []
    ward.later(3600)
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED


def test_pause_is_no_hang() -> None:
    ward = Ward()
    looks(ward, 5, 5, 5)
    ward.happens("suspended", "paused")
    ward.happens("resumed", "unpaused")
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED


def test_domain_without_vcpu_figures_is_never_hung() -> None:
    ward = Ward()
    for _ in range(10):
        assert ward.answer("vcpu", "absent") == []
        ward.later(20)


# After a restart of the exporter


def restored(**last: float) -> Ward:
    ward = Ward()
    counts = {(HERE, "web", *what.split("_", 1)): (1, at) for what, at in last.items()}
    ward.hangs.restore([Hang(HERE, "uuid-web", "web", 100.0)], counts, ward.now)  # type: ignore[arg-type]
    return ward


def test_restored_hang_ends_with_the_next_answer() -> None:
    ward = restored(hung_emulator=100.0)
    assert ward.signals == ("emulator",)
    assert ward.emulator(950) == []
    ward.later(2)
    assert ward.emulator(952) == []
    assert ward.emulator(None) == WELL


def test_only_open_hangs_are_restored() -> None:
    assert restored(hung_emulator=100.0, recovered_emulator=200.0, hung_vcpu=150.0).signals == ("vcpu",)
    assert restored(hung_emulator=99.0).signals == (), "that was another hang, which ended with its run"
    assert restored().signals == ()


def test_restored_watchdog_hang_ends_after_running() -> None:
    ward = restored(hung_watchdog=100.0)
    assert ward.later(29) == []
    assert ward.later(1) == CURED
