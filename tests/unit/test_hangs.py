"""Is an emulator hung, and when has it recovered: without threads, clocks and libvirt."""

import pytest

from libvirt_lifecycle_exporter.engine.hangs import EXCUSED, RUNNING_STATES
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
    assert first.message == "the emulator's monitor has not answered for 15 s; waiting client: a friend"
    assert last.message == "the emulator's monitor answers again, after 42 s"
    assert (first.source, first.detail_code, first.domain_id) == ("probe", -1, 7)


def test_one_silent_answer_is_not_enough() -> None:
    """A daemon that was frozen says so for a moment."""
    ward = Ward()
    assert ward.emulator(100) == []
    ward.later(0.5)
    assert ward.emulator(100.5) == []
    ward.later(0.5)
    assert ward.emulator(101) == HUNG


def test_one_long_wait_is_not_made_of_many_short_ones() -> None:
    ward = Ward()
    for _ in range(30):
        assert ward.emulator(2) == []
        ward.later(2)


def test_a_clock_that_is_set_makes_nobody_hung() -> None:
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
        if state not in RUNNING_STATES or (state, reason) in EXCUSED
    ],
)
def test_silence_proves_nothing_while_it_has_another_excuse(state: str, reason: str) -> None:
    ward = Ward()
    ward.domain.enter(state, reason, ward.now)
    for seconds in range(0, 300, 10):
        assert ward.emulator(seconds) == []
        for signal in ("guest_agent", "vcpu"):
            assert ward.answer(signal, "answered" if seconds < 20 or signal == "vcpu" else "silent") == []
        ward.later(10)


def test_silence_is_counted_from_what_happened_last() -> None:
    ward = Ward()
    ward.emulator(14)
    ward.happens("suspended", "paused")
    ward.happens("resumed", "unpaused")
    ward.later(14)
    assert ward.emulator(28) == []
    ward.later(1)
    assert ward.emulator(29) == HUNG


def test_what_libvirt_does_with_a_job_under_way_is_no_silence() -> None:
    ward = Ward()
    for _ in range(20):
        assert ward.answer("emulator", "busy") == []
        ward.later(10)


def test_silence_while_disconnected_proves_nothing() -> None:
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


def test_a_hang_outlives_a_loss_of_the_connection() -> None:
    ward = hung(Ward())
    ward.hangs.set_connection(HERE, ward.now, up=False)
    ward.later(5)
    ward.hangs.set_connection(HERE, ward.now, up=True)
    assert ward.emulator(3) == []
    assert ward.signals == ("emulator",)
    assert ward.emulator(None) == WELL


def test_an_answer_counts_whatever_the_state() -> None:
    ward = hung(Ward())
    ward.domain.enter("paused", "user", ward.now)
    assert ward.emulator(None) == WELL


@pytest.mark.parametrize(
    "end", ["stopped/destroyed", "stopped/crashed", "stopped/migrated", "started/booted"]
)
def test_another_run_is_another_matter(end: str) -> None:
    ward = hung(Ward())
    ward.happens(*end.split("/"))
    assert ward.signals == ()
    assert ward.emulator(None) == []


def test_late_verdict_of_the_last_run_changes_nothing() -> None:
    ward = hung(Ward())
    stop = transition("stopped", "crashed", at=ward.now - 100)
    assert ward.hangs.apply(stop) == []
    assert ward.signals == ("emulator",)


def test_a_wakeup_begins_no_other_run() -> None:
    ward = Ward()
    ward.happens("watchdog", "none")
    ward.happens("started", "wakeup")
    assert ward.signals == ("watchdog",)


def test_who_is_not_known_or_gone_is_not_hung() -> None:
    ward = Ward()
    ward.domain.present = False
    ward.emulator(100)
    ward.later(1)
    assert ward.emulator(101) == []
    found = ward.hangs.evaluate_probes(
        ProbeResults(1.0, HERE, "emulator", (ProbeAnswer("nobody", "silent", 99.0),))
    )
    assert found == []


def test_a_domain_that_is_forgotten_leaves_nothing_behind() -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.records.drop(HERE, "uuid-web")
    assert ward.signals == ()
    assert ward.later(100) == []
