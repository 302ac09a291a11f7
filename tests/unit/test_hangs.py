"""Is this domain hung, by which signal, and when has it recovered: without threads, clocks and libvirt."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.hangs import EXCUSED, RUNS, Hang, Hangs
from libvirt_lifecycle_exporter.incidents import Incidents
from libvirt_lifecycle_exporter.silence import Patience
from libvirt_lifecycle_exporter.states import STATE_REASONS
from libvirt_lifecycle_exporter.transition import Answer, Probed, Transition
from tests.unit.seen import HERE, observation, transition

PATIENCE = Patience(emulator=15, watchdog=30, vcpu=60)
Told = list[tuple[str, str]]


@dataclass
class Ward:
    """One domain, and who watches it."""

    hangs: Hangs = field(default_factory=lambda: Hangs(PATIENCE))
    now: float = 1000.0
    domain: Domain = field(
        default_factory=lambda: Domain(HERE, "uuid-web", "web", "running", "booted", 1.0, domain_id=7)
    )
    told: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hangs.link(HERE, 0.0, up=True)

    def take(self, changes: list[Transition]) -> Told:
        """As the pipeline does: what comes out goes in again."""
        self.told += changes
        for change in changes:
            self.take(self.hangs.see(change))
        return [(change.event, change.reason) for change in changes]

    def later(self, seconds: float) -> Told:
        self.now += seconds
        return self.take(self.hangs.tick(self.now, self.find))

    def find(self, _connection: str, uuid: str) -> Domain | None:
        return self.domain if uuid == self.domain.uuid else None

    def answer(self, signal: str, how: str, seconds: float = 0.0, *, by: str = "", ran: int = 0) -> Told:
        answers = (Answer(self.domain.uuid, how, seconds, by, ran),)
        return self.take(self.hangs.probed(Probed(self.now, HERE, signal, answers), self.find))

    def emulator(self, seconds: float | None) -> Told:
        """For how long the monitor has been waited for; None: it answers."""
        return self.answer(
            "emulator", "answered" if seconds is None else "silent", seconds or 0.0, by="a friend"
        )

    def happens(self, event: str, reason: str) -> Told:
        found = self.hangs.see(transition(event, reason, at=self.now))
        return self.take(found)

    @property
    def signals(self) -> tuple[str, ...]:
        return self.hangs.signals(HERE, self.domain.uuid)


HUNG, WELL = [("hung", "emulator")], [("recovered", "emulator")]


def hung(ward: Ward) -> Ward:
    assert ward.emulator(14) == []
    ward.later(1)
    assert ward.emulator(15) == HUNG
    return ward


def test_an_emulator_that_leaves_its_monitor_unanswered_is_hung_until_it_answers() -> None:
    ward = hung(Ward())
    ward.later(27)
    assert ward.emulator(42) == []
    assert ward.emulator(None) == WELL
    assert ward.signals == ()
    first, last = ward.told
    assert first.message == "its monitor has not answered for 15 s, held by a friend"
    assert last.message == "its monitor answers again, after 42 s"
    assert (first.source, first.detail_code, first.domain_id) == ("probe", -1, 7)


def test_one_answer_of_libvirt_is_not_believed_however_long_the_wait_it_tells_of() -> None:
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
        if state not in RUNS or (state, reason) in EXCUSED
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


def test_nothing_is_concluded_while_the_connection_is_down_nor_from_before_it_came_back() -> None:
    ward = Ward()
    ward.emulator(14)
    ward.hangs.link(HERE, ward.now, up=False)
    ward.later(60)
    assert ward.emulator(74) == []
    ward.hangs.link(HERE, ward.now, up=True)
    ward.later(1)
    assert ward.emulator(75) == []
    ward.later(13)
    assert ward.emulator(88) == []
    ward.later(1)
    assert ward.emulator(89) == HUNG


def test_a_hang_outlives_a_loss_of_the_connection() -> None:
    ward = hung(Ward())
    ward.hangs.link(HERE, ward.now, up=False)
    ward.later(5)
    ward.hangs.link(HERE, ward.now, up=True)
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


def test_a_late_verdict_about_the_last_run_says_nothing_of_this_one() -> None:
    ward = hung(Ward())
    stop = transition("stopped", "crashed", at=ward.now - 100)
    assert ward.hangs.see(stop) == []
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
    found = ward.hangs.probed(Probed(1.0, HERE, "emulator", (Answer("nobody", "silent", 99.0),)), ward.find)
    assert found == []


def test_a_domain_that_is_forgotten_leaves_nothing_behind() -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.hangs.forget(HERE, "uuid-web")
    assert ward.signals == ()
    assert ward.later(100) == []


# The watchdog

BARK, CURED = [("hung", "watchdog")], [("recovered", "watchdog")]


@pytest.mark.parametrize("action", ["none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"])
def test_a_watchdog_that_runs_out_is_a_hang_whatever_its_action(action: str) -> None:
    ward = Ward()
    assert ward.happens("watchdog", action) == BARK
    assert (ward.told[0].source, ward.told[0].reason) == ("callback", "watchdog")
    assert ward.happens("watchdog", action) == []
    assert ward.later(10_000) == []


@pytest.mark.parametrize("cure", ["rebooted/guest", "resumed/unpaused"])
def test_it_has_recovered_when_it_was_reset_or_resumed_and_has_run_on(cure: str) -> None:
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
def test_a_setback_begins_it_anew(setback: str) -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.happens("rebooted", "guest")
    ward.later(29)
    assert ward.happens(*setback.split("/")) == []
    assert ward.later(100) == []
    ward.happens("resumed", "unpaused")
    assert ward.later(29) == []
    assert ward.later(1) == CURED


def test_a_clock_that_steps_back_does_not_keep_it_hung() -> None:
    ward = Ward()
    ward.happens("watchdog", "reset")
    ward.happens("rebooted", "guest")
    assert ward.later(-3600) == []
    assert ward.later(30) == CURED


# The guest agent

SILENT, SPEAKS = [("hung", "guest_agent")], [("recovered", "guest_agent")]


def test_an_agent_that_never_answered_is_no_hang() -> None:
    ward = Ward()
    for _ in range(20):
        assert ward.answer("guest_agent", "silent", 5) == []
        ward.later(30)


def test_three_misses_in_a_row_are_a_hang_until_it_answers() -> None:
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
def test_two_misses_are_none(between: str) -> None:
    ward = Ward()
    for _ in range(10):
        ward.answer("guest_agent", "answered")
        assert ward.answer("guest_agent", "silent", 5) == []
        assert ward.answer("guest_agent", "silent", 5) == []
        assert ward.answer("guest_agent", between) == []


def test_a_guest_that_closes_the_channel_is_alive() -> None:
    ward = Ward()
    ward.answer("guest_agent", "answered")
    for _ in range(3):
        ward.answer("guest_agent", "silent", 5)
    assert ward.signals == ("guest_agent",)
    assert ward.take(ward.hangs.agent(observation("agent_lifecycle", 1, 2, at=ward.now))) == []
    assert ward.take(ward.hangs.agent(observation("agent_lifecycle", 2, 2, at=ward.now))) == SPEAKS
    for _ in range(5):
        assert ward.answer("guest_agent", "silent", 5) == []


def test_an_agent_of_another_run_must_answer_again() -> None:
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


def test_no_progress_at_all_in_the_whole_window_is_a_hang() -> None:
    ward = Ward()
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED
    assert ward.told[0].message == "no virtual CPU of it has run for 60 s"
    assert looks(ward, 5, 5) == []


def test_the_least_progress_is_life() -> None:
    assert looks(Ward(), 1, 1, 1, 2, 2, 2, 3, 3, 3, 4) == []


def test_a_dead_guest_that_its_timer_wakes_now_and_then_is_dead() -> None:
    ward = Ward()
    looks(ward, 5, 5, 5, 5)
    assert looks(ward, 6, 6, 6, 6, 7, 7, 7, 7) == []
    assert ward.signals == ("vcpu",)
    assert looks(ward, 8, 9) == STIRS


def test_time_in_which_nobody_looked_is_no_window() -> None:
    """The host, or this exporter, was asleep."""
    ward = Ward()
    assert looks(ward, 5, 5) == []
    ward.later(3600)
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED


def test_a_pause_is_no_stall() -> None:
    ward = Ward()
    looks(ward, 5, 5, 5)
    ward.happens("suspended", "paused")
    ward.happens("resumed", "unpaused")
    assert looks(ward, 5, 5, 5) == []
    assert looks(ward, 5) == STALLED


def test_a_domain_without_virtual_cpus_to_look_at_is_left_alone() -> None:
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


def test_a_hang_that_was_open_is_taken_over_and_ends_with_the_next_answer() -> None:
    ward = restored(hung_emulator=100.0)
    assert ward.signals == ("emulator",)
    assert ward.emulator(950) == []
    ward.later(2)
    assert ward.emulator(952) == []
    assert ward.emulator(None) == WELL


def test_only_what_was_still_open_is_taken_over() -> None:
    assert restored(hung_emulator=100.0, recovered_emulator=200.0, hung_vcpu=150.0).signals == ("vcpu",)
    assert restored(hung_emulator=99.0).signals == (), "that was another hang, which ended with its run"
    assert restored().signals == ()


def test_a_guest_whose_watchdog_ran_out_before_the_restart_has_to_run_on() -> None:
    ward = restored(hung_watchdog=100.0)
    assert ward.later(29) == []
    assert ward.later(1) == CURED


# Whatever the order

STEPS = st.one_of(
    st.tuples(st.just("emulator"), st.sampled_from(["answered", "silent", "busy"]), st.floats(0, 200)),
    st.tuples(st.just("guest_agent"), st.sampled_from(["answered", "silent", "absent"]), st.floats(0, 10)),
    st.tuples(st.just("vcpu"), st.just("answered"), st.integers(0, 2)),
    st.tuples(
        st.just("happens"),
        st.sampled_from(
            [
                ("started", "booted", "running"),
                ("resumed", "unpaused", "running"),
                ("resumed", "postcopy", "running"),
                ("suspended", "paused", "paused"),
                ("suspended", "migrated", "paused"),
                ("shutdown", "guest", "shutdown"),
                ("stopped", "destroyed", "shutoff"),
                ("crashed", "panicked", "crashed"),
                ("watchdog", "reset", ""),
                ("rebooted", "guest", ""),
                ("defined", "updated", ""),
            ]
        ),
        st.none(),
    ),
    st.tuples(st.just("agent"), st.sampled_from([1, 2]), st.none()),
    st.tuples(st.just("link"), st.booleans(), st.none()),
    st.tuples(st.just("later"), st.sampled_from([0.5, 1.0, 5.0, 20.0, 61.0, -30.0]), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


class Life:
    """A domain, its hangs and its incidents, and what must hold of them after every step."""

    def __init__(self) -> None:
        self.ward = Ward()
        self.up = True
        self.incidents = Incidents()
        self.open: dict[str, bool] = defaultdict(bool)
        self.counts: dict[tuple[str, str, str, str], tuple[int, float]] = {}
        self.excused = False

    def step(self, what: str, first: Any, second: Any) -> None:
        ward = self.ward
        before = len(ward.told)
        if what == "happens":
            event, reason, state = first
            change = transition(event, reason, at=ward.now)
            self.incidents.take(change)
            if state:
                ward.domain.enter(state, reason, ward.now)
            if event in ("stopped", "started"):
                self.open.clear()
            ward.take(ward.hangs.see(change))
        elif what == "agent":
            ward.take(ward.hangs.agent(observation("agent_lifecycle", first, at=ward.now)))
        elif what == "link":
            self.up = bool(first)
            ward.hangs.link(HERE, ward.now, up=self.up)
        elif what == "later":
            ward.later(first)
        elif what == "restart":
            self.restart()
        else:
            seconds, ran = (0.0, second) if what == "vcpu" else (second, 0)
            ward.answer(what, first, seconds, ran=ran)
        for change in ward.told[before:]:
            self.check(change)
        assert set(ward.signals) == {signal for signal, is_open in self.open.items() if is_open}

    def check(self, change: Transition) -> None:
        domain = self.ward.domain
        excused = domain.state not in RUNS or (domain.state, domain.reason) in EXCUSED or not self.up
        is_hung = change.event == "hung"
        assert not (is_hung and change.source == "probe" and excused), "hung though excused"
        assert self.open[change.reason] != is_hung, "hung and recovered take turns"
        self.open[change.reason] = is_hung
        count, _ = self.counts.get((HERE, "web", change.event, change.reason), (0, 0.0))
        self.counts[HERE, "web", change.event, change.reason] = (count + 1, change.at)
        was_open = {one.kind for one in self.incidents.open()}
        _, opened = self.incidents.take(change)
        if is_hung and "hung" in was_open:
            assert not opened, "one incident a hang"

    def restart(self) -> None:
        """The clock of these plays may step back, and then last times prove less than they do."""
        ward = self.ward
        ward.hangs = Hangs(PATIENCE)
        signals = {one for one, is_open in self.open.items() if is_open}
        hangs = [Hang(HERE, "uuid-web", "web", 0.0)] if signals else []
        counts = {
            key: (count, 2.0 if (key[2] == "hung") == (key[3] in signals) else 1.0)
            for key, (count, _) in self.counts.items()
        }
        ward.hangs.restore(hangs, counts, ward.now)
        ward.hangs.link(HERE, ward.now, up=self.up)
        again = Incidents()
        again.restore(self.incidents.open(), ward.hangs.signals)
        self.incidents = again


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_whatever_the_order_nobody_is_hung_with_an_excuse_and_hung_and_recovered_take_turns(
    steps: list[tuple[str, Any, Any]],
) -> None:
    life = Life()
    for step in steps:
        life.step(*step)
