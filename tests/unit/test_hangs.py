"""Is an emulator hung, and when has it recovered: without threads, clocks and libvirt."""

import pytest

from libvirt_lifecycle_exporter.engine.hangs import EXCUSED, RUNS
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.states import STATE_REASONS
from tests.unit.seen import HERE, transition
from tests.unit.ward import HUNG, WELL, Ward, hung


def test_emulator_is_hung_until_its_monitor_answers() -> None:
    ward = hung(Ward())
    ward.later(27)
    assert ward.emulator(42) == []
    assert ward.emulator(None) == WELL
    assert ward.signals == ()
    first, last = ward.told
    assert first.message == "its monitor has not answered for 15 s, held by a friend"
    assert last.message == "its monitor answers again, after 42 s"
    assert (first.source, first.detail_code, first.domain_id) == ("probe", -1, 7)


def test_one_silent_answer_is_not_enough() -> None:
    """A daemon that was frozen says so for a moment."""
    ward = Ward()
    assert ward.emulator(100) == []
    ward.later(0.5)
    assert ward.emulator(100.5) == []
    ward.later(0.5)
    assert ward.emulator(101) == HUNG


def test_short_waits_do_not_add_up_to_a_hang() -> None:
    ward = Ward()
    for _ in range(30):
        assert ward.emulator(2) == []
        ward.later(2)


def test_clock_step_is_no_hang() -> None:
    ward = Ward()
    assert ward.emulator(1) == []
    ward.later(3600)
    assert ward.emulator(2) == []
    ward.later(-7200)
    assert ward.emulator(3) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (state, reason)
        for state, reasons in STATE_REASONS.items()
        for reason in reasons
        if state not in RUNS or (state, reason) in EXCUSED
    ],
)
def test_silence_in_an_excused_state_is_no_hang(state: str, reason: str) -> None:
    ward = Ward()
    ward.domain.enter(state, reason, ward.now)
    for seconds in range(0, 300, 10):
        assert ward.emulator(seconds) == []
        for signal in ("guest_agent", "vcpu"):
            assert ward.answer(signal, "answered" if seconds < 20 or signal == "vcpu" else "silent") == []
        ward.later(10)


def test_silence_is_measured_from_the_last_event() -> None:
    ward = Ward()
    ward.emulator(14)
    ward.happens("suspended", "paused")
    ward.happens("resumed", "unpaused")
    ward.later(14)
    assert ward.emulator(28) == []
    ward.later(1)
    assert ward.emulator(29) == HUNG


def test_monitor_busy_with_a_job_is_no_hang() -> None:
    ward = Ward()
    for _ in range(20):
        assert ward.answer("emulator", "busy") == []
        ward.later(10)


def test_silence_while_disconnected_is_no_hang() -> None:
    ward = Ward()
    ward.emulator(14)
    ward.hangs.set_connection(HERE, ward.now, up=False)
    ward.later(60)
    assert ward.emulator(74) == []
    ward.hangs.set_connection(HERE, ward.now, up=True)
    ward.later(1)
    assert ward.emulator(75) == []
    ward.later(13)
    assert ward.emulator(88) == []
    ward.later(1)
    assert ward.emulator(89) == HUNG


def test_hang_survives_a_lost_connection() -> None:
    ward = hung(Ward())
    ward.hangs.set_connection(HERE, ward.now, up=False)
    ward.later(5)
    ward.hangs.set_connection(HERE, ward.now, up=True)
    assert ward.emulator(3) == []
    assert ward.signals == ("emulator",)
    assert ward.emulator(None) == WELL


def test_answer_in_any_state_is_a_recovery() -> None:
    ward = hung(Ward())
    ward.domain.enter("paused", "user", ward.now)
    assert ward.emulator(None) == WELL


@pytest.mark.parametrize(
    "end", ["stopped/destroyed", "stopped/crashed", "stopped/migrated", "started/booted"]
)
def test_end_of_the_run_ends_the_hang(end: str) -> None:
    ward = hung(Ward())
    ward.happens(*end.split("/"))
    assert ward.signals == ()
    assert ward.emulator(None) == []


def test_late_verdict_of_the_last_run_changes_nothing() -> None:
    ward = hung(Ward())
    stop = transition("stopped", "crashed", at=ward.now - 100)
    assert ward.hangs.apply(stop) == []
    assert ward.signals == ("emulator",)


def test_wakeup_begins_no_new_run() -> None:
    ward = Ward()
    ward.happens("watchdog", "none")
    ward.happens("started", "wakeup")
    assert ward.signals == ("watchdog",)


def test_unknown_or_removed_domain_is_never_hung() -> None:
    ward = Ward()
    ward.domain.present = False
    ward.emulator(100)
    ward.later(1)
    assert ward.emulator(101) == []
    found = ward.hangs.evaluate_probes(
        ProbeResults(1.0, HERE, "emulator", (ProbeAnswer("nobody", "silent", 99.0),))
    )
    assert found == []


def test_forgotten_domain_has_no_hang_state() -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.records.drop(HERE, "uuid-web")
    assert ward.signals == ()
    assert ward.later(100) == []
