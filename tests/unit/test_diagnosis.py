"""What libvirt says, and what it is taken for (design/vocabulary.md, 3). The sequences are those that
libvirt 9.0 with QEMU 7.2 and libvirt 11.3 with QEMU 10.0 really send."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter import diagnosis as module
from libvirt_lifecycle_exporter.diagnosis import DIAGNOSED, VERDICT_WAIT, Diagnosis
from libvirt_lifecycle_exporter.states import state_after
from libvirt_lifecycle_exporter.transition import DomainFacts, Look, Observation, Transition
from libvirt_lifecycle_exporter.vocabulary import (
    ALL_PAIRS,
    IO_ERROR_REASONS,
    REASONS,
    WATCHDOG_ACTIONS,
    lifecycle_pair,
)
from tests.unit.seen import HERE, facts, lifecycle, look, observation, order

BOOT = ("resumed/unpaused", "started/booted")
GONE: DomainFacts | None = None
UNPROVEN = ("unknown", "daemon", "destroyed", "shutdown")


def sent(pair: str, *, name: str = "web", at: float = 1000.0) -> Observation:
    """What libvirt sends for a pair, whatever its event id."""
    event, _, reason = pair.partition("/")
    if event == "watchdog":
        return observation("watchdog", WATCHDOG_ACTIONS.index(reason), name=name, at=at)
    if event == "io_error":
        return observation("io_error_reason", 1, name=name, at=at, word=reason)
    if event in ("rebooted", "control_error"):
        return observation(event.replace("rebooted", "reboot"), name=name, at=at)
    return lifecycle(event, reason, name=name, at=at)


def words(changes: Iterable[Transition]) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in changes]


class Scene:
    """A domain's life as the worker tells it: state before, observation; its answers when asked."""

    def __init__(self, state: str = "shutoff", reason: str = "shutdown", at: float = 1000.0) -> None:
        self.diagnosis = Diagnosis()
        self.state = (state, reason)
        self.at = at
        self.told: list[Transition] = []

    def sees(self, *pairs: str, apart: float = 0.1) -> "Scene":
        for pair in pairs:
            self.at += apart
            seen = sent(pair, at=self.at)
            self.told += self.diagnosis.see(seen, *self.state)
            self.state = state_after(*pair.split("/")) or self.state
        return self

    def asks(self, found: DomainFacts | None) -> "Scene":
        self.told += self.diagnosis.learn(look("web", found))
        return self

    def waits(self, seconds: float = VERDICT_WAIT) -> "Scene":
        self.told += self.diagnosis.tick(self.at + seconds)
        return self

    @property
    def last(self) -> str:
        return words(self.told)[-1]


def running() -> Scene:
    return Scene().sees(*BOOT)


def pair(seen: Observation, diagnosis: Diagnosis | None = None) -> tuple[str, str] | None:
    """The one pair that an observation of a domain about which nothing is known comes out as, at the latest
    when the wait is over."""
    diagnosis = diagnosis or Diagnosis()
    changes = diagnosis.see(seen, "", "") + diagnosis.tick(seen.at + VERDICT_WAIT)
    assert len(changes) <= 1
    return (changes[0].event, changes[0].reason) if changes else None


class TestTheNamesOfWhatIsSeen:
    @pytest.mark.parametrize(
        ("event", "reason"), [(event, reason) for event in REASONS for reason in REASONS[event]]
    )
    def test_every_lifecycle_pair_is_a_transition(self, event: str, reason: str) -> None:
        assert pair(lifecycle(event, reason)) == (event, reason)

    @pytest.mark.parametrize(("number", "action"), list(enumerate(WATCHDOG_ACTIONS)))
    def test_a_watchdog_is_named_by_its_action(self, number: int, action: str) -> None:
        assert pair(observation("watchdog", number)) == ("watchdog", action)

    @pytest.mark.parametrize(
        ("word", "reason"), [("enospc", "enospc"), ("", "other"), ("eio", "other"), ("ENOSPC\n", "other")]
    )
    def test_an_io_error_keeps_libvirts_own_word_beside_the_reason(self, word: str, reason: str) -> None:
        (change,) = Diagnosis().see(observation("io_error_reason", 1, word=word), "running", "booted")
        assert change.event == "io_error"
        assert (change.reason, change.detail, change.detail_code) == (reason, word, 1)

    def test_a_control_error_is_a_transition(self) -> None:
        assert pair(observation("control_error")) == ("control_error", "control_error")

    @pytest.mark.parametrize(
        "kind", ["agent_lifecycle", "job_completed", "metadata_change", "memory_failure", "new_one"]
    )
    def test_other_kinds_are_none(self, kind: str) -> None:
        assert pair(observation(kind)) is None

    def test_numbers_from_the_future_are_kept(self) -> None:
        assert pair(observation("lifecycle", 42, 7)) == ("unknown_42", "unknown_7")
        assert pair(observation("lifecycle", 5, 99)) == ("stopped", "unknown_99")
        assert pair(observation("watchdog", 99)) == ("watchdog", "unknown_99")

    def test_every_pair_of_the_vocabulary_can_be_concluded(self) -> None:
        concluded = {pair(sent(f"{event}/{reason}")) for event, reason in ALL_PAIRS}
        assert concluded == set(ALL_PAIRS)


class TestReboots:
    def test_one_reboot_is_counted_once(self) -> None:
        diagnosis = Diagnosis()
        assert pair(observation("reboot", at=10.0), diagnosis) == ("rebooted", "guest")
        assert pair(observation("reboot", at=10.003), diagnosis) is None
        assert pair(observation("reboot", at=10.2), diagnosis) is None
        assert pair(observation("reboot", at=10.5), diagnosis) == ("rebooted", "guest")

    def test_reboots_of_two_domains_are_two(self) -> None:
        diagnosis = Diagnosis()
        assert pair(observation("reboot", name="one", at=10.0), diagnosis)
        assert pair(observation("reboot", name="two", at=10.0), diagnosis)
        assert pair(observation("reboot", name="one", at=10.0, connection="lxc:///system"), diagnosis)

    def test_a_clock_that_steps_back_hides_no_reboot(self) -> None:
        diagnosis = Diagnosis()
        assert pair(observation("reboot", at=5000.0), diagnosis)
        assert pair(observation("reboot", at=1000.0), diagnosis)

    def test_memory_of_reboots_is_bounded_and_keeps_the_newest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MEMORY", 100)
        diagnosis = Diagnosis()
        for number in range(300):
            assert pair(observation("reboot", name=f"vm-{number}", at=1.0), diagnosis)
        assert pair(observation("reboot", name="vm-299", at=1.1), diagnosis) is None
        assert pair(observation("reboot", name="vm-0", at=1.1), diagnosis)


class TestEmulatorKilled:
    """SIGKILL, SIGSEGV, out of memory: stopped/failed."""

    def test_is_crashed_when_libvirt_says_so(self) -> None:
        scene = running().sees("stopped/failed")
        assert scene.diagnosis.pending() == {(HERE, "uuid-web")}
        assert scene.asks(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"
        assert scene.diagnosis.pending() == frozenset()

    def test_of_a_transient_domain_is_crashed_since_it_ran(self) -> None:
        assert running().sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("reason", UNPROVEN)
    def test_is_crashed_when_libvirt_does_not_know_any_more(self, reason: str) -> None:
        assert (
            running().sees("stopped/failed").asks(facts(state="shutoff", reason=reason)).last
            == "stopped/crashed"
        )

    @pytest.mark.parametrize(
        "halted", ["suspended/paused", "suspended/ioerror", "pmsuspended/memory", "crashed/panicked"]
    )
    def test_is_crashed_whatever_the_domain_was_doing(self, halted: str) -> None:
        assert running().sees(halted, "stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("state", ["running", "blocked", "paused", "pmsuspended", "crashed"])
    def test_is_crashed_though_its_start_was_before_our_time(self, state: str) -> None:
        assert Scene(state, "unknown").sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_is_crashed_once_the_wait_is_over(self) -> None:
        scene = running().sees("stopped/failed").waits(VERDICT_WAIT - 0.1)
        assert scene.last == "started/booted"
        assert scene.waits().last == "stopped/crashed"

    def test_is_crashed_at_the_latest_when_the_domain_goes_on(self) -> None:
        scene = running().sees("stopped/failed", *BOOT)
        assert words(scene.told) == [*BOOT, "stopped/crashed", *BOOT]
        assert words(scene.waits().told) == [*BOOT, "stopped/crashed", *BOOT]

    def test_keeps_its_time_and_libvirts_word(self) -> None:
        scene = running().sees("stopped/failed")
        stopped = scene.at
        crashed = scene.sees("resumed/unpaused", apart=1.0).told[-2]
        assert (crashed.at, crashed.detail, crashed.detail_code) == (stopped, "failed", 5)
        assert (crashed.reason, crashed.source) == ("crashed", "callback")

    def test_after_a_reset_within_the_run_is_crashed(self) -> None:
        assert running().sees("rebooted/guest", "stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_during_a_migration_out_is_crashed(self) -> None:
        assert running().sees("suspended/migrated", "stopped/failed").asks(GONE).last == "stopped/crashed"
        before_our_time = Scene("running", "booted").sees("suspended/migrated", "stopped/failed")
        assert before_our_time.asks(GONE).last == "stopped/crashed"

    def test_after_a_shutdown_that_came_to_nothing_is_crashed(self) -> None:
        scene = running().sees("shutdown/guest", "resumed/unpaused", "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"


class TestDoubt:
    def test_an_answer_from_before_the_stop_is_no_evidence(self) -> None:
        scene = running()
        began = order()
        scene.sees("stopped/failed")
        early = look("web", facts(state="shutoff", reason="failed"), began=began)
        assert scene.diagnosis.learn(early) == []
        assert scene.asks(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"

    def test_an_answer_about_another_domain_is_none(self) -> None:
        scene = running().sees("stopped/failed")
        assert scene.diagnosis.learn(look("db", GONE)) == []
        elsewhere = Look(order(), 1.0, "lxc:///system", "uuid-web", None, None)
        assert scene.diagnosis.learn(elsewhere) == []

    def test_an_answer_that_overtakes_the_next_start_proves_nothing(self) -> None:
        scene = running().sees("stopped/failed").asks(facts(state="running", reason="booted"))
        assert scene.last == "stopped/crashed"

    def test_libvirt_gave_it_up_itself(self) -> None:
        scene = running().sees("stopped/failed").asks(facts(state="shutoff", reason="failed"))
        assert scene.last == "stopped/failed"

    def test_told_to_shut_down_it_did_not_crash(self) -> None:
        assert running().sees("shutdown/guest", "stopped/failed").asks(GONE).last == "stopped/failed"
        assert Scene("shutdown", "user").sees("stopped/failed").waits().last == "stopped/failed"

    def test_of_a_domain_that_was_never_seen_to_run_libvirts_word_is_kept(self) -> None:
        assert Scene("", "").sees("stopped/failed").waits().last == "stopped/failed"
        assert Scene().sees("stopped/failed").asks(GONE).last == "stopped/failed"

    def test_of_a_domain_that_was_never_seen_to_run_libvirt_knows_better(self) -> None:
        crashed = facts(state="shutoff", reason="crashed")
        assert Scene("", "").sees("stopped/failed").asks(crashed).last == "stopped/crashed"

    def test_a_start_after_the_stop_is_another_run(self) -> None:
        scene = Scene().sees("started/migrated", "stopped/failed", *BOOT, "stopped/failed").waits()
        assert scene.last == "stopped/crashed"
        scene = running().sees("stopped/destroyed", "stopped/failed").waits()
        assert scene.last == "stopped/failed"

    def test_a_second_stop_hides_no_first(self) -> None:
        scene = running().sees("stopped/failed", "stopped/failed").waits()
        assert words(scene.told) == [*BOOT, "stopped/crashed", "stopped/failed"]

    def test_found_shutting_down_it_did_not_crash(self) -> None:
        scene = running()
        scene.state = ("shutdown", "unknown")
        assert scene.sees("stopped/failed").waits().last == "stopped/failed"

    def test_what_is_no_transition_does_not_hurry_it(self) -> None:
        scene = running().sees("stopped/failed")
        assert scene.diagnosis.see(observation("agent_lifecycle"), "running", "booted") == []
        assert scene.diagnosis.pending()

    def test_a_clock_that_steps_back_does_not_prolong_it(self) -> None:
        assert running().sees("stopped/failed").waits(-3600).last == "stopped/crashed"

    def test_to_be_forgotten_drops_no_verdict(self) -> None:
        scene = running().sees("stopped/failed")
        scene.diagnosis.forget(HERE, "uuid-web")
        assert scene.diagnosis.pending()
        assert scene.waits().last == "stopped/crashed"

    def test_verdicts_beyond_the_bound_are_given_early_and_not_dropped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MEMORY", 10)
        diagnosis, told = Diagnosis(), []
        for number in range(30):
            told += diagnosis.see(lifecycle("stopped", "failed", name=f"vm-{number}"), "running", "booted")
        assert [change.name for change in told] == [f"vm-{number}" for number in range(20)]
        assert len(diagnosis.pending()) == 10
        assert len(diagnosis.tick(2000.0)) == 10

    def test_runs_beyond_the_bound_are_let_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MEMORY", 10)
        diagnosis = Diagnosis()
        for number in range(30):
            diagnosis.see(lifecycle("shutdown", "host", name=f"vm-{number}"), "running", "booted")
        ends = [lifecycle("stopped", "shutdown", name=f"vm-{number}") for number in (0, 29)]
        told = [change for end in ends for change in diagnosis.see(end, "shutdown", "unknown")]
        assert words(told) == ["stopped/shutdown", "stopped/quit"]


class TestShutdown:
    def test_told_to_quit_by_someone_on_the_host(self) -> None:
        stop = running().sees("shutdown/host", "stopped/shutdown").told[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("quit", "shutdown", 0)

    @pytest.mark.parametrize("how", ["guest", "finished"])
    def test_of_its_own_or_as_asked(self, how: str) -> None:
        assert running().sees(f"shutdown/{how}", "stopped/shutdown").last == "stopped/shutdown"

    def test_to_disk_by_the_guest(self) -> None:
        assert (
            running().sees("pmsuspended/disk", "shutdown/guest", "stopped/shutdown").last
            == "stopped/shutdown"
        )

    def test_without_a_word_before_is_what_libvirt_says(self) -> None:
        assert Scene("running", "booted").sees("stopped/shutdown").last == "stopped/shutdown"
        assert Scene("shutdown", "unknown").sees("stopped/shutdown").last == "stopped/shutdown"

    def test_told_to_quit_in_an_earlier_run_says_nothing_of_this_one(self) -> None:
        scene = running().sees("shutdown/host", "stopped/shutdown", *BOOT, "stopped/shutdown")
        assert scene.last == "stopped/shutdown"

    def test_refused_coming_in_says_nothing_of_the_next_run(self) -> None:
        """libvirt 11.3: shutdown/host alone."""
        assert Scene("", "").sees("shutdown/host", *BOOT, "stopped/shutdown").last == "stopped/shutdown"

    def test_stopped_by_the_guest_for_its_shutdown_is_still_told_by_the_host(self) -> None:
        """libvirt 11.10 may send suspended/guest_shutdown between the two."""
        scene = running().sees("shutdown/host", "suspended/guest_shutdown", "stopped/shutdown")
        assert scene.last == "stopped/quit"

    @pytest.mark.parametrize("how", ["saved", "migrated", "from_snapshot", "crashed", "destroyed"])
    def test_host_before_another_stop_is_no_request(self, how: str) -> None:
        """libvirt 11.3; 9.0 sends the stop alone."""
        assert running().sees("shutdown/host", f"stopped/{how}").last == f"stopped/{how}"
        assert running().sees(f"stopped/{how}").last == f"stopped/{how}"


class TestHung:
    def test_switched_off_by_its_watchdog(self) -> None:
        stop = running().sees("watchdog/poweroff", "stopped/failed").told[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("hung", "failed", 5)

    def test_a_watchdog_long_ago_did_not_switch_it_off(self) -> None:
        scene = running().sees("watchdog/poweroff").sees("stopped/failed", apart=60.0)
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_a_watchdog_of_an_earlier_run_did_not_either(self) -> None:
        scene = running().sees("watchdog/poweroff", "stopped/failed", *BOOT, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("action", [action for action in WATCHDOG_ACTIONS if action != "poweroff"])
    def test_other_watchdogs_did_not_either(self, action: str) -> None:
        assert running().sees(f"watchdog/{action}", "stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_destroyed_while_known_to_be_hung(self, before: tuple[str, ...]) -> None:
        scene = running()
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        stop = scene.sees(*before, "stopped/destroyed").told[-1]
        assert (stop.reason, stop.detail) == ("hung", "destroyed")

    def test_destroyed_after_it_recovered(self) -> None:
        scene = running()
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=False)
        assert scene.sees("stopped/destroyed").last == "stopped/destroyed"

    def test_destroyed_in_the_next_run(self) -> None:
        scene = running()
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        scene.sees("stopped/destroyed", *BOOT, "stopped/destroyed")
        assert scene.last == "stopped/destroyed"

    def test_destroyed_in_the_next_run_though_the_stop_was_lost(self) -> None:
        scene = running()
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        assert scene.sees(*BOOT, "stopped/destroyed").last == "stopped/destroyed"

    def test_found_hung_before_any_event_of_it(self) -> None:
        scene = Scene("running", "booted")
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=False)
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        assert scene.sees("stopped/destroyed").last == "stopped/hung"

    def test_woken_up_it_is_still_hung(self) -> None:
        scene = running().sees("pmsuspended/memory")
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        assert scene.sees("started/wakeup", "stopped/destroyed").last == "stopped/hung"

    def test_killed_while_hung_the_emulator_crashed(self) -> None:
        scene = running()
        scene.diagnosis.note_hung(HERE, "uuid-web", is_hung=True)
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"


class TestMigration:
    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_incoming_that_died_failed_at_once(self, before: tuple[str, ...]) -> None:
        scene = Scene("", "").sees("started/migrated", *before, "stopped/failed")
        assert scene.last == "stopped/failed"
        assert scene.diagnosis.pending() == frozenset()

    def test_incoming_from_before_our_time_that_died_failed(self) -> None:
        assert Scene("paused", "migration").sees("stopped/failed").last == "stopped/failed"
        assert Scene("paused", "migration").sees("shutdown/host", "stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("arrival", ["resumed/migrated", "resumed/postcopy", "suspended/paused"])
    def test_arrived_and_killed_it_crashed(self, arrival: str) -> None:
        scene = Scene("", "").sees("started/migrated", arrival, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_found_arrived_and_killed_it_crashed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="running", reason="migrated"))
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_found_on_its_way_and_killed_it_failed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="paused", reason="migration"))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    def test_an_answer_about_the_run_before_says_nothing_of_it(self) -> None:
        scene = Scene("running", "booted")
        began = order()
        scene.sees("stopped/migrated", "started/migrated")
        scene.diagnosis.learn(look("web", facts(state="running", reason="booted"), began=began))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_leaving_is_no_stop_of_another_kind(self, before: tuple[str, ...]) -> None:
        assert running().sees("suspended/migrated", *before, "stopped/migrated").last == "stopped/migrated"

    def test_lost_in_post_copy_it_crashed_where_it_ran(self) -> None:
        scene = Scene("", "").sees("started/migrated", "resumed/postcopy", "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"


class TestPanic:
    @pytest.mark.parametrize(
        "sequence",
        [
            ("crashed/panicked", "stopped/crashed"),
            ("suspended/paused", "crashed/panicked", "stopped/crashed"),
            ("crashed/panicked", "shutdown/host", "stopped/crashed"),
            ("crashed/panicked", "rebooted/guest", "resumed/unpaused"),
        ],
    )
    def test_is_told_as_sent(self, sequence: tuple[str, ...]) -> None:
        assert words(running().sees(*sequence).told) == [*BOOT, *sequence]


@pytest.mark.parametrize("reason", ["crashed", "shutdown", "destroyed", "migrated", "saved"])
def test_the_rfcs_stops_are_told_as_sent(reason: str) -> None:
    assert running().sees(f"stopped/{reason}").last == f"stopped/{reason}"


@pytest.mark.parametrize("reason", ["booted", "migrated", "restored"])
def test_the_rfcs_starts_are_told_as_sent(reason: str) -> None:
    assert Scene().sees(f"started/{reason}").last == f"started/{reason}"


@pytest.mark.parametrize("event", ["stopped", "started"])
def test_a_driver_that_cannot_tell_why_is_taken_at_its_word(event: str) -> None:
    number = 5 if event == "stopped" else 2
    assert pair(observation("lifecycle", number, 99)) == (event, "unknown_99")


NAMES = ("web", "db", "mail")
RAW = tuple(f"{event}/{reason}" for event, reason in ALL_PAIRS if event != "rebooted")
ENDS = ("stopped/failed", "stopped/shutdown", "stopped/destroyed", "shutdown/host", "watchdog/poweroff")
STATES = (
    ("", ""),
    ("running", "booted"),
    ("paused", "migration"),
    ("shutoff", "crashed"),
    ("shutdown", "user"),
)
ANSWERS = (
    GONE,
    *(facts(state=s, reason=r) for s, r in (("shutoff", "crashed"), ("shutoff", "failed"), *STATES)),
)

STEPS = st.one_of(
    st.tuples(
        st.just("see"),
        st.sampled_from(NAMES),
        st.one_of(st.sampled_from(ENDS), st.sampled_from(RAW)),
        st.sampled_from(STATES),
    ),
    st.tuples(st.just("learn"), st.sampled_from(NAMES), st.sampled_from(ANSWERS), st.integers(0, 5)),
    st.tuples(st.just("hung"), st.sampled_from(NAMES), st.booleans(), st.none()),
    st.tuples(st.just("forget"), st.sampled_from(NAMES), st.none(), st.none()),
    st.tuples(st.just("noise"), st.sampled_from(NAMES), st.none(), st.none()),
)


class Fed:
    """A diagnosis that is fed, with a tick every half second; and all that it was told and told us."""

    def __init__(self) -> None:
        self.diagnosis = Diagnosis()
        self.at = 1000.0
        self.ticked = 1000.0
        self.seen: list[Observation] = []
        self.told: list[tuple[float, Transition]] = []

    def tell(self, changes: list[Transition]) -> None:
        self.told += [(self.at, change) for change in changes]

    def wait(self, seconds: float) -> None:
        end = self.at + seconds
        while self.ticked + 0.5 <= end:
            self.ticked += 0.5
            self.at = self.ticked
            self.tell(self.diagnosis.tick(self.at))
        self.at = end

    def do(self, what: str, name: str, first: object, second: object) -> None:
        if what == "see" and isinstance(first, str) and isinstance(second, tuple):
            seen = sent(first, name=name, at=self.at)
            self.seen.append(seen)
            self.tell(self.diagnosis.see(seen, *second))
        elif what == "learn" and isinstance(second, int):
            found = first._replace(uuid=f"uuid-{name}", name=name) if isinstance(first, DomainFacts) else None
            self.tell(self.diagnosis.learn(look(name, found, began=order() - second)))
        elif what == "hung":
            self.diagnosis.note_hung(HERE, f"uuid-{name}", bool(first))
        elif what == "forget":
            self.diagnosis.forget(HERE, f"uuid-{name}")
        else:
            self.tell(self.diagnosis.see(observation("job_completed", name=name, at=self.at), "", ""))


def raw(seen: Observation) -> tuple[str, str]:
    if seen.kind == "lifecycle":
        return lifecycle_pair(seen.event, seen.detail)
    if seen.kind == "watchdog":
        return "watchdog", WATCHDOG_ACTIONS[seen.event]
    if seen.kind == "io_error_reason":
        return "io_error", seen.word if seen.word in IO_ERROR_REASONS else "other"
    return "control_error", "control_error"


@given(st.lists(st.tuples(STEPS, st.floats(0.0, 3.0)), max_size=40))
def test_whatever_comes_each_is_told_once_in_order_in_time_and_with_a_reason_it_may_have(
    steps: list[tuple[tuple[str, str, object, object], float]],
) -> None:
    fed = Fed()
    for step, pause in steps:
        fed.do(*step)
        fed.wait(pause)
    fed.wait(VERDICT_WAIT + 0.5)

    assert fed.diagnosis.pending() == frozenset()
    for name in NAMES:
        seen = [one for one in fed.seen if one.name == name]
        told = [(when, change) for when, change in fed.told if change.name == name]
        assert [(one.at, *raw(one)[:1]) for one in seen] == [(change.at, change.event) for _, change in told]
        for one, (when, change) in zip(seen, told, strict=True):
            assert when - one.at <= 2.0
            assert change.reason in DIAGNOSED.get(raw(one), {raw(one)[1]})
            assert change.detail_code == (one.detail if one.kind == "lifecycle" else one.event)
            assert change.source == "callback"
