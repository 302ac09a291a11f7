"""Assignment of transitions to spans, and the end of spans."""

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
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, COUNTED_PAIRS, EVENTS, NON_LIFECYCLE_EVENTS
from tests.unit.factories import transition

IDS = SpanIds("a host and a journal")
BOOT = ("resumed/unpaused", "started/booted")


class TraceResult(NamedTuple):
    """The result of a sequence of transitions."""

    refs: dict[int, SpanRef]
    closed: list[Span]
    state: DomainSpanState

    @property
    def summary(self) -> list[str]:
        return [f"{span.name}: {span.outcome}" if span.outcome else span.name for span in self.closed]

    def span(self, name: str) -> Span:
        (found,) = (span for span in self.closed if span.name == name)
        return found

    def linked(self, one: str, relation: str) -> list[str]:
        """Return the names of the spans that a span is linked to."""
        names = {span.ref: span.name for span in self.closed}
        return [names[link.ref] for link in self.span(one).links if relation in link.relations]


def trace(*pairs: str, every: float = 1.0, source: str = "callback", runs: bool = False) -> TraceResult:
    """Assign transitions, `every` seconds apart. `crashed/panicked opens` opens an incident."""
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
    return TraceResult(refs, closed, state)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(BOOT, ["start domain: success"], id="boot"),
        pytest.param(("started/booted",), ["start domain: success"], id="boot of the test driver"),
        pytest.param(
            ("shutdown/guest", "stopped/shutdown"), ["shut down domain: success"], id="guest powers off"
        ),
        pytest.param(("shutdown/host", "stopped/quit"), ["shut down domain: success"], id="terminated"),
        pytest.param(("shutdown/host", "stopped/destroyed"), ["stop domain: success"], id="destroy"),
        pytest.param(("stopped/destroyed",), ["stop domain"], id="destroy, by the test driver"),
        pytest.param(
            ("shutdown/guest", "stopped/destroyed"), ["shut down domain: timeout"], id="shutdown timeout"
        ),
        pytest.param(("shutdown/host", "stopped/crashed"), ["stop domain: failed"], id="dump --crash, 11.3"),
        pytest.param(
            ("shutdown/guest", "resumed/unpaused"), ["shut down domain: cancelled"], id="shutdown cancelled"
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
            ("started/migrated", "stopped/failed"),
            ["migrate domain in: failed"],
            id="incoming migration failed",
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
            ("suspended/migrated", "resumed/migrated"), ["migrate domain out: failed"], id="migration failed"
        ),
        pytest.param(
            ("suspended/migrated", "started/booted"),
            ["migrate domain out: unknown", "start domain: success"],
            id="missed end",
        ),
        pytest.param(
            ("shutdown/guest", "defined/updated", "stopped/shutdown"),
            ["define domain", "shut down domain: success"],
            id="unrelated transition does not wait",
        ),
        pytest.param(
            ("hung/emulator", "recovered/emulator"),
            ["domain hangs", "domain recovers"],
            id="hang and recover",
        ),
        pytest.param(("unknown_9/unknown_3",), ["domain event"], id="unknown event"),
    ],
)
def test_spans_of_operations(pairs: tuple[str, ...], expected: list[str]) -> None:
    assert trace(*pairs).summary == expected


def test_inferred_transition_begins_no_operation() -> None:
    assert trace("shutdown/unknown", source="reconcile").summary == ["shut down domain"]


def test_operation_expires_at_its_time_limit() -> None:
    result = trace("shutdown/guest")
    assert not result.closed
    assert expire_operation(result.state, 1001.0 + OPERATION_LIMIT - 1) == ((), result.state)
    (span,), state = expire_operation(result.state, 1001.0 + OPERATION_LIMIT)
    assert (span.outcome, span.ended - span.began, state.operation) == ("timeout", OPERATION_LIMIT, None)


def test_operation_that_began_in_the_future_expires() -> None:
    (span,), _ = expire_operation(trace("shutdown/guest").state, 1001.0 - OPERATION_LIMIT)
    assert span.outcome == "timeout"


def test_transition_after_the_limit_has_its_own_span() -> None:
    result = trace("shutdown/guest", "stopped/shutdown", every=OPERATION_LIMIT)
    assert result.summary == ["shut down domain: timeout", "shut down domain: success"]


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
def test_end_of_a_condition_links_to_its_entry(pairs: tuple[str, ...], entry: str, exit_: str) -> None:
    result = trace(*pairs, every=3600.0)
    assert result.linked(exit_, "entry") == [entry]
    assert result.span(exit_).duration == 3600.0
    assert all(span.ended - span.began <= OPERATION_LIMIT for span in result.closed)


def test_hang_signals_recover_independently() -> None:
    result = trace("hung/emulator", "hung/vcpu", "recovered/vcpu")
    assert result.span("domain recovers").duration == 1.0
    assert set(result.state.conditions) == {"hung/emulator"}


def test_incident_is_linked_until_it_closes() -> None:
    result = trace("crashed/panicked opens", "stopped/crashed opens", "started/booted closes")
    assert result.linked("start domain", "entry") == ["domain crashes"]
    assert result.span("start domain").duration == 2.0


def test_save_begins_with_its_pause() -> None:
    saved = trace("suspended/paused", "stopped/saved").span("save domain")
    assert saved.ended - saved.began == 1.0


def test_save_of_a_long_paused_domain_begins_with_the_stop() -> None:
    saved = trace("suspended/paused", "stopped/saved", every=OPERATION_LIMIT).span("save domain")
    assert saved.began == saved.ended


def test_spans_link_to_previous_operation_and_run() -> None:
    result = trace(*BOOT, "suspended/paused", "resumed/unpaused", "stopped/destroyed", "undefined/removed")
    assert result.linked("resume domain", "previous") == ["pause domain"]
    assert result.linked("resume domain", "run") == ["start domain"]
    assert result.linked("stop domain", "run") == ["start domain"]
    assert result.linked("undefine domain", "run") == []


def test_run_is_a_span_if_enabled() -> None:
    result = trace(*BOOT, "stopped/destroyed", runs=True)
    run = result.span(RUN)
    assert (run.ended - run.began, run.rows) == (1.0, ())
    assert result.linked(RUN, "run") == ["start domain"]
    assert len({span.ref for span in result.closed}) == len(result.closed)


def test_ids_are_stable_and_depend_on_every_input() -> None:
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


def test_tables_use_only_words_of_the_vocabulary() -> None:
    known = {*COUNTED_PAIRS, ("suspended", "postcopy_failed")}
    reasons = {("", "*")} | {(event, "*") for event, _ in known}
    for pair in (
        *OPERATION_NAMES,
        *BEGINS,
        *(pair for course in OPERATIONS.values() for pair in (*course.ends, *course.includes)),
    ):
        assert pair in known | reasons, pair
    assert {*EVENTS.values(), *(event for event, _ in NON_LIFECYCLE_EVENTS.values())} <= SPAN_NAMES.keys()
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
def test_each_transition_is_on_one_bounded_span(
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
        # A link leads to an earlier span of the domain, never to itself.
        assert span.ref not in [link.ref for link in span.links]
    assert len({span.ref for span in closed}) == len(closed)
    known = {span.ref for span in closed}
    assert all(link.ref in known for span in closed for link in span.links)
