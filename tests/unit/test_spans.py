"""Which span each transition is on, and when that span is over."""

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.inventory import run_id
from libvirt_lifecycle_exporter.engine.span_operations import (
    BEGINS,
    CONDITIONS_ENTERED,
    OPERATION_LIMIT,
    OPERATION_NAMES,
    OPERATIONS,
    RUN,
    SPAN_NAMES,
)
from libvirt_lifecycle_exporter.engine.spans import (
    EMPTY_STATE,
    DomainSpanState,
    Span,
    SpanIds,
    SpanRef,
    TransitionContext,
    assign_span,
    expire_operation,
)
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, COUNTED_PAIRS, EVENTS, OTHER_IDS
from tests.unit.seen import transition

IDS = SpanIds("a host and a journal")
BOOT = ("resumed/unpaused", "started/booted")


class Tale(NamedTuple):
    """What became of transitions that came one second apart."""

    refs: dict[int, SpanRef]
    closed: list[Span]
    state: DomainSpanState

    @property
    def words(self) -> list[str]:
        return [f"{span.name}: {span.outcome}" if span.outcome else span.name for span in self.closed]

    def span(self, name: str) -> Span:
        (found,) = (span for span in self.closed if span.name == name)
        return found

    def linked(self, one: str, relation: str) -> list[str]:
        """The names of the spans that the span of this name is linked to."""
        names = {span.ref: span.name for span in self.closed}
        return [names[link.ref] for link in self.span(one).links if relation in link.relations]


def told(*pairs: str, every: float = 1.0, source: str = "callback", runs: bool = False) -> Tale:
    """What an incident does stands behind the pair: `crashed/panicked opens`, `resumed/unpaused closes`."""
    state, refs, closed, run = EMPTY_STATE, dict[int, SpanRef](), list[Span](), ""
    for number, word in enumerate(pairs, 1):
        pair, _, incident = word.partition(" ")
        event, _, reason = pair.partition("/")
        change = transition(event, reason, at=1000.0 + every * number)._replace(source=source)
        if event == "resumed" and pairs[number : number + 1] == ("started/booted",):
            run = run_id(change)
        whole = change._replace(run_id=run, incident_id="an incident" if incident else "")
        closes = frozenset({"an incident"} if incident == "closes" else ())
        update = assign_span(state, TransitionContext(number, whole, IDS, closes), runs=runs)
        state, refs[number] = update.state, update.ref
        closed += update.closed
    return Tale(refs, closed, state)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        pytest.param(BOOT, ["start domain: success"], id="boot"),
        pytest.param(("started/booted",), ["start domain: success"], id="boot of the test driver"),
        pytest.param(
            ("shutdown/guest", "stopped/shutdown"), ["shut down domain: success"], id="guest powers off"
        ),
        pytest.param(("shutdown/host", "stopped/quit"), ["shut down domain: success"], id="told to quit"),
        pytest.param(("shutdown/host", "stopped/destroyed"), ["stop domain: success"], id="destroy"),
        pytest.param(("stopped/destroyed",), ["stop domain"], id="destroy, by the test driver"),
        pytest.param(
            ("shutdown/guest", "stopped/destroyed"), ["shut down domain: timeout"], id="patience lost"
        ),
        pytest.param(("shutdown/host", "stopped/crashed"), ["stop domain: failed"], id="dump --crash, 11.3"),
        pytest.param(
            ("shutdown/guest", "resumed/unpaused"), ["shut down domain: cancelled"], id="runs on after all"
        ),
        pytest.param(
            ("suspended/paused", "stopped/saved"), ["pause domain", "save domain: success"], id="save"
        ),
        pytest.param(
            ("suspended/paused", "shutdown/host", "stopped/saved"),
            ["pause domain", "save domain: success"],
            id="save, 11.3",
        ),
        pytest.param(
            ("started/restored", "resumed/from_snapshot"), ["restore domain: success"], id="restore"
        ),
        pytest.param(
            ("started/restored", "suspended/restored"), ["restore domain: success"], id="restore paused"
        ),
        pytest.param(
            ("started/migrated", "resumed/migrated"), ["migrate domain in: success"], id="migration in"
        ),
        pytest.param(
            ("started/migrated", "stopped/failed"), ["migrate domain in: failed"], id="dies on arrival"
        ),
        pytest.param(
            ("suspended/migrated", "stopped/migrated"), ["migrate domain out: success"], id="migration out"
        ),
        pytest.param(
            ("suspended/migrated", "shutdown/host", "stopped/migrated"),
            ["migrate domain out: success"],
            id="migration out, 11.3",
        ),
        pytest.param(
            ("suspended/migrated", "resumed/migrated"), ["migrate domain out: failed"], id="stays after all"
        ),
        pytest.param(
            ("suspended/migrated", "started/booted"),
            ["migrate domain out: unknown", "start domain: success"],
            id="the end was missed",
        ),
        pytest.param(
            ("shutdown/guest", "defined/updated", "stopped/shutdown"),
            ["define domain", "shut down domain: success"],
            id="what has nothing to do with it does not wait",
        ),
        pytest.param(
            ("hung/emulator", "recovered/emulator"),
            ["domain hangs", "domain recovers"],
            id="hang and recover",
        ),
        pytest.param(("unknown_9/unknown_3",), ["domain event"], id="an event from the future"),
    ],
)
def test_operations(pairs: tuple[str, ...], words: list[str]) -> None:
    assert told(*pairs).words == words


def test_what_was_only_inferred_begins_nothing() -> None:
    assert told("shutdown/unknown", source="reconcile").words == ["shut down domain"]


def test_an_operation_that_does_not_end_is_over_at_the_limit() -> None:
    tale = told("shutdown/guest")
    assert not tale.closed
    assert expire_operation(tale.state, 1001.0 + OPERATION_LIMIT - 1) == ((), tale.state)
    (span,), state = expire_operation(tale.state, 1001.0 + OPERATION_LIMIT)
    assert (span.outcome, span.ended - span.began, state.operation) == ("timeout", OPERATION_LIMIT, None)


def test_an_operation_is_over_when_the_clock_says_that_it_began_in_the_future() -> None:
    (span,), _ = expire_operation(told("shutdown/guest").state, 1001.0 - OPERATION_LIMIT)
    assert span.outcome == "timeout"


def test_a_row_that_comes_too_late_has_a_span_of_its_own() -> None:
    tale = told("shutdown/guest", "stopped/shutdown", every=OPERATION_LIMIT)
    assert tale.words == ["shut down domain: timeout", "shut down domain: success"]


@pytest.mark.parametrize(
    ("pairs", "entry", "exit_"),
    [
        (("suspended/paused", "resumed/unpaused"), "pause domain", "resume domain"),
        (("suspended/ioerror", "stopped/destroyed"), "pause domain", "stop domain"),
        (("pmsuspended/memory", "started/wakeup"), "domain falls asleep", "start domain"),
        (("hung/emulator", "recovered/emulator"), "domain hangs", "domain recovers"),
        (("hung/emulator", "stopped/hung"), "domain hangs", "stop domain"),
        (("crashed/panicked opens", "resumed/unpaused closes"), "domain crashes", "resume domain"),
        (("stopped/crashed opens", "started/booted closes"), "stop domain", "start domain"),
    ],
)
def test_the_exit_of_a_condition_is_linked_to_its_entry_and_carries_the_duration(
    pairs: tuple[str, ...], entry: str, exit_: str
) -> None:
    tale = told(*pairs, every=3600.0)
    assert tale.linked(exit_, "entry") == [entry]
    assert tale.span(exit_).duration == 3600.0
    assert all(span.ended - span.began <= OPERATION_LIMIT for span in tale.closed)


def test_one_signal_recovers_and_the_other_hangs_on() -> None:
    tale = told("hung/emulator", "hung/vcpu", "recovered/vcpu")
    assert tale.span("domain recovers").duration == 1.0
    assert set(tale.state.conditions) == {"hung/emulator"}


def test_a_crash_and_all_that_follows_from_it_are_linked_until_all_is_well() -> None:
    tale = told("crashed/panicked opens", "stopped/crashed opens", "started/booted closes")
    assert tale.linked("start domain", "entry") == ["domain crashes"]
    assert tale.span("start domain").duration == 2.0


def test_a_save_begins_when_the_domain_is_paused_for_it() -> None:
    saved = told("suspended/paused", "stopped/saved").span("save domain")
    assert saved.ended - saved.began == 1.0


def test_a_save_of_what_was_paused_for_hours_does_not() -> None:
    saved = told("suspended/paused", "stopped/saved", every=OPERATION_LIMIT).span("save domain")
    assert saved.began == saved.ended


def test_links_to_the_previous_operation_and_to_the_start_of_the_run() -> None:
    tale = told(*BOOT, "suspended/paused", "resumed/unpaused", "stopped/destroyed", "undefined/removed")
    assert tale.linked("resume domain", "previous") == ["pause domain"]
    assert tale.linked("resume domain", "run") == ["start domain"]
    assert tale.linked("stop domain", "run") == ["start domain"]
    assert tale.linked("undefine domain", "run") == []


def test_a_whole_run_is_one_span_if_that_is_wanted() -> None:
    tale = told(*BOOT, "stopped/destroyed", runs=True)
    run = tale.span(RUN)
    assert (run.ended - run.began, run.rows) == (1.0, ())
    assert tale.linked(RUN, "run") == ["start domain"]
    assert len({span.ref for span in tale.closed}) == len(tale.closed)


def test_ids_are_the_same_for_ever_and_differ_with_everything_that_they_are_made_of() -> None:
    change = transition("started", "booted", at=1000.0)
    assert IDS.derive(1, change) == SpanRef("14cbdd1eb9ddeef6a1f580cdacb67d9b", "8b2bea6fa5cd7410")
    others = [
        SpanIds("another host").derive(1, change),
        IDS.derive(2, change),
        IDS.derive(1, change._replace(at=1000.1)),
        IDS.derive(1, change._replace(uuid="another")),
        IDS.derive(1, change, "run"),
    ]
    assert len({IDS.derive(1, change), *others}) == 6
    assert {(len(ref.trace_id), len(ref.span_id)) for ref in others} == {(32, 16)}


def test_every_word_of_the_tables_exists() -> None:
    known = {*COUNTED_PAIRS, ("suspended", "postcopy_failed")}
    reasons = {("", "*")} | {(event, "*") for event, _ in known}
    for pair in (
        *OPERATION_NAMES,
        *BEGINS,
        *(pair for course in OPERATIONS.values() for pair in (*course.ends, *course.includes)),
    ):
        assert pair in known | reasons, pair
    assert {*EVENTS.values(), *(event for event, _ in OTHER_IDS.values())} <= SPAN_NAMES.keys()
    assert CONDITIONS_ENTERED.keys() <= set(EVENTS.values())


PAIRS = st.sampled_from(
    [*ALL_PAIRS, ("hung", "emulator"), ("recovered", "emulator"), ("hung", "vcpu"), ("x", "y")]
)
STEPS = st.tuples(
    PAIRS,
    st.sampled_from(["", "i", "j"]),
    st.booleans(),
    st.sampled_from([-1e6, -1.0, 0.0, 0.001, 1.0, 599.0, 600.0, 1e5]),
    st.sampled_from(["callback", "reconcile", "probe"]),
    st.booleans(),
)


@given(st.lists(STEPS, max_size=40), st.booleans())
def test_every_transition_is_on_exactly_one_span_and_every_span_is_bounded(
    steps: list[tuple[tuple[str, str], str, bool, float, str, bool]],
    runs: bool,  # noqa: FBT001 - hypothesis' value
) -> None:
    state, at, closed, refs = EMPTY_STATE, 1_700_000_000.0, list[Span](), dict[int, SpanRef]()
    for number, (pair, incident, closes, later, source, begins) in enumerate(steps, 1):
        at += later
        change = Transition(at, "c", "u", "n", 1, *pair, pair[1], 0, source, incident_id=incident)
        change = change._replace(run_id=run_id(change) if begins else "r")
        context = TransitionContext(number, change, IDS, frozenset({incident} if closes and incident else ()))
        before = state
        update = assign_span(state, context, runs=runs)
        assert update == assign_span(before, context, runs=runs)
        state, refs[number] = update.state, update.ref
        closed += update.closed
        operation = state.operation
        assert operation is None or abs(at - operation.at) < OPERATION_LIMIT
    overdue, state = expire_operation(state, at + 2 * OPERATION_LIMIT)
    closed += overdue
    assert state.operation is None
    on = Counter(number for span in closed for number in span.rows)
    assert on == Counter(refs.keys())
    for span in closed:
        assert all(refs[number] == span.ref for number in span.rows)
        assert 0 <= span.ended - span.began <= OPERATION_LIMIT or span.name == RUN
        assert span.rows or span.name == RUN
        # A link leads to a span of its own past, never to itself.
        assert span.ref not in [link.ref for link in span.links]
    assert len({span.ref for span in closed}) == len(closed)
    known = {span.ref for span in closed}
    assert all(link.ref in known for span in closed for link in span.links)
