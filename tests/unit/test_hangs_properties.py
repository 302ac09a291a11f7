"""In any order of events: no excused domain is hung, and hung and recovered alternate."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.hangs import EXCUSED, RUNNING_STATES, Hang, Hangs
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.factories import HERE, observation, transition
from tests.unit.hang_scenario import THRESHOLDS, HangScenario
from tests.unit.recorded_incidents import RecordedIncidents

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
                ("rebooted", "reset", ""),
                ("defined", "updated", ""),
            ]
        ),
        st.none(),
    ),
    st.tuples(st.just("agent"), st.sampled_from([1, 2]), st.none()),
    st.tuples(st.just("link"), st.booleans(), st.none()),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 1.0, 5.0, 20.0, 61.0, -30.0]), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
)


class HangDriver:
    """A domain, its hangs and its incidents, and the invariants after every step."""

    def __init__(self) -> None:
        self.scenario = HangScenario()
        self.up = True
        self.incidents = RecordedIncidents(self.scenario.records)
        self.open: dict[str, bool] = defaultdict(bool)
        self.counts: dict[tuple[str, str, str, str], tuple[int, float]] = {}
        self.excused = False

    def step(self, what: str, first: Any, second: Any) -> None:
        scenario = self.scenario
        before = len(scenario.transitions)
        if what == "happens":
            event, reason, state = first
            change = transition(event, reason, at=scenario.now)
            self.incidents.apply(change)
            if state:
                scenario.domain.enter(state, reason, scenario.now)
            if event in ("stopped", "started"):
                self.open.clear()
            scenario.record(scenario.apply(change))
        elif what == "agent":
            scenario.record(
                scenario.hangs.apply_agent_event(observation("agent_lifecycle", first, at=scenario.now))
            )
        elif what == "link":
            self.up = bool(first)
            scenario.hangs.set_connection(HERE, scenario.now, up=self.up)
        elif what == "advance":
            scenario.advance(first)
        elif what == "restart":
            self.restart()
        else:
            seconds, ran = (0.0, second) if what == "vcpu" else (second, 0)
            scenario.answer(what, first, seconds, ran=ran)
        for change in scenario.transitions[before:]:
            self.check(change)
        assert set(scenario.signals) == {signal for signal, is_open in self.open.items() if is_open}

    def check(self, change: Transition) -> None:
        domain = self.scenario.domain
        excused = (
            domain.state not in RUNNING_STATES or (domain.state, domain.reason) in EXCUSED or not self.up
        )
        is_hung = change.event == "hung"
        assert not (is_hung and change.source == "probe" and excused), "hung though excused"
        assert self.open[change.reason] != is_hung, "hung and recovered take turns"
        self.open[change.reason] = is_hung
        count, _ = self.counts.get((HERE, "web", change.event, change.reason), (0, 0.0))
        self.counts[HERE, "web", change.event, change.reason] = (count + 1, change.at)
        was_open = {one.kind for one in self.incidents.open()}
        _, opened = self.incidents.apply(change)
        if is_hung and "hung" in was_open:
            assert not opened, "one incident a hang"

    def restart(self) -> None:
        """Restart with counters whose times prove which signals are open: the clock of this test may step
        back.
        """
        scenario, open_incidents = self.scenario, self.incidents.open()
        scenario.records = Records()
        scenario.records.enter(scenario.domain)
        scenario.hangs = Hangs(THRESHOLDS, scenario.records)
        signals = {one for one, is_open in self.open.items() if is_open}
        hangs = [Hang(HERE, "uuid-web", "web", 0.0)] if signals else []
        counts = {
            key: (count, 2.0 if (key[2] == "hung") == (key[3] in signals) else 1.0)
            for key, (count, _) in self.counts.items()
        }
        scenario.hangs.restore(hangs, counts, scenario.now)
        scenario.hangs.set_connection(HERE, scenario.now, up=self.up)
        self.incidents = RecordedIncidents(scenario.records)
        self.incidents.restore(open_incidents)


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_hung_and_recovered_alternate_in_any_order(
    steps: list[tuple[str, Any, Any]],
) -> None:
    driver = HangDriver()
    for step in steps:
        driver.step(*step)
