"""Every observation gives one transition, in order, in time, with an allowed reason."""

from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.classify import POSSIBLE_REASONS, VERDICT_WAIT
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALL_PAIRS,
    IO_ERROR_REASONS,
    WATCHDOG_ACTIONS,
    lifecycle_pair,
)
from tests.unit.classifier_scenario import GONE, RecordedClassifier, classify, make_observation
from tests.unit.factories import HERE, facts, lookup, observation, order
from tests.unit.hang_state import set_hung

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
        st.just("observe"),
        st.sampled_from(NAMES),
        st.one_of(st.sampled_from(ENDS), st.sampled_from(RAW)),
        st.sampled_from(STATES),
    ),
    st.tuples(st.just("answer"), st.sampled_from(NAMES), st.sampled_from(ANSWERS), st.integers(0, 5)),
    st.tuples(st.just("hung"), st.sampled_from(NAMES), st.booleans(), st.none()),
    st.tuples(st.just("forget"), st.sampled_from(NAMES), st.none(), st.none()),
    st.tuples(st.just("noise"), st.sampled_from(NAMES), st.none(), st.none()),
)


class ClassifierDriver:
    """Feeds a classifier, with a tick every half second, and records observations and transitions."""

    def __init__(self) -> None:
        self.records = Records()
        self.classifier = RecordedClassifier(self.records)
        self.at = 1000.0
        self.ticked = 1000.0
        self.observations: list[Observation] = []
        self.transitions: list[tuple[float, Transition]] = []

    def record(self, changes: list[Transition]) -> None:
        self.transitions += [(self.at, change) for change in changes]

    def wait(self, seconds: float) -> None:
        end = self.at + seconds
        while self.ticked + 0.5 <= end:
            self.ticked += 0.5
            self.at = self.ticked
            self.record(self.classifier.tick(self.at))
        self.at = end

    def step(self, what: str, name: str, first: object, second: object) -> None:
        if what == "observe" and isinstance(first, str) and isinstance(second, tuple):
            observed = make_observation(first, name=name, at=self.at)
            self.observations.append(observed)
            self.record(classify(self.classifier, observed, *second))
        elif what == "answer" and isinstance(second, int):
            found = first._replace(uuid=f"uuid-{name}", name=name) if isinstance(first, DomainFacts) else None
            self.record(
                self.classifier.apply_lookup(
                    self.records.get(HERE, f"uuid-{name}"), lookup(name, found, began=order() - second)
                )
            )
        elif what == "hung":
            set_hung(self.records, f"uuid-{name}", *(["vcpu"] if first else []), connection=HERE)
        elif what == "forget":
            self.classifier.forget_run(self.records.get(HERE, f"uuid-{name}"))
        else:
            self.record(classify(self.classifier, observation("job_completed", name=name, at=self.at)))


def raw(observed: Observation) -> tuple[str, str]:
    if observed.kind == "lifecycle":
        return lifecycle_pair(observed.event, observed.detail)
    if observed.kind == "watchdog":
        return "watchdog", WATCHDOG_ACTIONS[observed.event]
    if observed.kind == "io_error_reason":
        return "io_error", observed.word if observed.word in IO_ERROR_REASONS else "other"
    return "control_error", "control_error"


@given(st.lists(st.tuples(STEPS, st.floats(0.0, 3.0)), max_size=40))
def test_each_transition_is_returned_once_in_order_and_in_time(
    steps: list[tuple[tuple[str, str, object, object], float]],
) -> None:
    driver = ClassifierDriver()
    for step, pause in steps:
        driver.step(*step)
        driver.wait(pause)
    driver.wait(VERDICT_WAIT + 0.5)

    assert driver.classifier.pending() == frozenset()
    for name in NAMES:
        observations = [one for one in driver.observations if one.name == name]
        transitions = [(when, change) for when, change in driver.transitions if change.name == name]
        assert [(one.at, *raw(one)[:1]) for one in observations] == [
            (change.at, change.event) for _, change in transitions
        ]
        for one, (when, change) in zip(observations, transitions, strict=True):
            assert when - one.at <= 2.0
            assert change.reason in POSSIBLE_REASONS.get(raw(one), {raw(one)[1]})
            assert change.detail_code == (one.detail if one.kind == "lifecycle" else one.event)
            assert change.source == "callback"
