"""Whatever is told: each once, in order, in time, with a reason that it may have."""

from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.classify import DIAGNOSED, VERDICT_WAIT, Classifier
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALL_PAIRS,
    IO_ERROR_REASONS,
    WATCHDOG_ACTIONS,
    lifecycle_pair,
)
from tests.unit.hang_state import set_hung
from tests.unit.scene import GONE, see, sent
from tests.unit.seen import HERE, facts, look, observation, order

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
        self.records = Records()
        self.diagnosis = Classifier(self.records)
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
            self.tell(see(self.diagnosis, seen, *second))
        elif what == "learn" and isinstance(second, int):
            found = first._replace(uuid=f"uuid-{name}", name=name) if isinstance(first, DomainFacts) else None
            self.tell(self.diagnosis.apply_lookup(look(name, found, began=order() - second)))
        elif what == "hung":
            set_hung(self.records, f"uuid-{name}", *(["vcpu"] if first else []), connection=HERE)
        elif what == "forget":
            self.diagnosis.forget_run(HERE, f"uuid-{name}")
        else:
            self.tell(see(self.diagnosis, observation("job_completed", name=name, at=self.at)))


def raw(seen: Observation) -> tuple[str, str]:
    if seen.kind == "lifecycle":
        return lifecycle_pair(seen.event, seen.detail)
    if seen.kind == "watchdog":
        return "watchdog", WATCHDOG_ACTIONS[seen.event]
    if seen.kind == "io_error_reason":
        return "io_error", seen.word if seen.word in IO_ERROR_REASONS else "other"
    return "control_error", "control_error"


@given(st.lists(st.tuples(STEPS, st.floats(0.0, 3.0)), max_size=40))
def test_each_transition_is_returned_once_in_order_and_in_time(
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
