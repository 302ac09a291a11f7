"""Assigns each transition to a span and decides when the span ends. Pure: no clock, no I/O, no OpenTelemetry.

Invariants: every transition is on exactly one span. Every span ends: with the transition that ends its
operation, or ``OPERATION_LIMIT`` after it began. An open operation delays only its own transitions. A closed
span never changes.

``span_operations`` defines the operations.

Conditions that last (paused, suspended to memory or disk, hung, an incident) are not spans. The span of the
transition that enters a condition is sent immediately. The transition that ends the condition has a span of
its own, which links to the first one and carries the duration.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.inventory import run_id
from libvirt_lifecycle_exporter.engine.span_operations import (
    ANY,
    BEGINS,
    CONDITIONS_ENDED,
    CONDITIONS_ENTERED,
    ENDS_ALL_CONDITIONS,
    INFERRED,
    MAX_CONDITIONS,
    OPERATION_LIMIT,
    OPERATION_NAMES,
    OPERATIONS,
    OTHER_NAME,
    RUN,
    SAVE,
    SPAN_NAMES,
    START,
    SUCCESS,
    SUCCESSFUL_ALONE,
    TIMEOUT,
    UNKNOWN,
)
from libvirt_lifecycle_exporter.model.transitions import Transition

Pair = tuple[str, str]
"""event, reason"""


class SpanRef(NamedTuple):
    """The ids of a span, in lower-case hexadecimal."""

    trace_id: str
    span_id: str


class LinkTarget(NamedTuple):
    """A span that later spans link to."""

    ref: SpanRef
    at: float
    """Unix time in seconds."""

    def shifted(self, seconds: float) -> "LinkTarget":
        """Return a copy that is shifted by a jump of the wall clock."""
        return LinkTarget(self.ref, self.at + seconds)


class Link(NamedTuple):
    """A link to another span, and its relations to it: ``previous``, ``run``, ``entry``, ``peer``."""

    ref: SpanRef
    relations: tuple[str, ...]


class OpenOperation(NamedTuple):
    """An operation in progress."""

    name: str
    number: int
    """Journal number of its first transition."""
    ref: SpanRef
    at: float
    """Its start; Unix time in seconds."""
    rows: tuple[int, ...]
    """Journal numbers of its transitions."""
    links: tuple[Link, ...]


class DomainSpanState(NamedTuple):
    """What is stored of a domain between two of its transitions."""

    operation: OpenOperation | None = None
    previous: SpanRef | None = None
    """The span of the previous transition."""
    run: LinkTarget | None = None
    """The span in which the current run began."""
    migration: LinkTarget | None = None
    """The span of the last migration; the other host's span links to it."""
    conditions: Mapping[str, LinkTarget] = MappingProxyType({})
    """Condition -> the span that entered it."""

    def shifted(self, seconds: float) -> "DomainSpanState":
        """Return a copy that is shifted by a jump of the wall clock."""
        return DomainSpanState(
            self.operation and self.operation._replace(at=self.operation.at + seconds),
            self.previous,
            self.run and self.run.shifted(seconds),
            self.migration and self.migration.shifted(seconds),
            {name: target.shifted(seconds) for name, target in self.conditions.items()},
        )


EMPTY_STATE: Final = DomainSpanState()


class Span(NamedTuple):
    """A closed span. Times are Unix times in seconds."""

    number: int
    """Journal number of its first transition."""
    ref: SpanRef
    name: str
    began: float
    ended: float
    outcome: str
    """Outcome of the operation; "" for spans that are no operation."""
    duration: float | None
    """Duration in seconds of the condition that the span ends; None: it ends none."""
    links: tuple[Link, ...]
    rows: tuple[int, ...]
    """Journal numbers of its transitions."""


class TransitionContext(NamedTuple):
    """A transition, and what else is needed to assign it to a span."""

    number: int
    """Its journal number."""
    change: Transition
    ids: "SpanIds"
    closes: frozenset[str] = frozenset()
    """Ids of the incidents that end with the transition."""
    peer: SpanRef | None = None
    """The span of the same migration on another host."""


class SpanUpdate(NamedTuple):
    """The result of assigning a transition."""

    ref: SpanRef
    """The transition's span."""
    state: DomainSpanState
    closed: tuple[Span, ...]
    """Spans that end with the transition, or ended before it."""


class SpanIds:
    """Derives span ids. The same journal, domain, number and time always give the same ids."""

    def __init__(self, salt: str) -> None:
        """``salt``: identifies the host and the journal."""
        self._salt = salt

    def derive(self, number: int, change: Transition, suffix: str = "") -> SpanRef:
        """Return the ids of the span of transition ``number``; ``suffix`` tells a second span apart."""
        # Includes the time, because the last numbers may be assigned again after a power failure.
        text = "\0".join((self._salt, change.uuid, str(number), repr(change.at), suffix))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return SpanRef(digest[:32], digest[32:48])


def assign_span(state: DomainSpanState, context: TransitionContext, *, runs: bool = False) -> SpanUpdate:
    """Assign a transition to a span. ``runs``: whether the whole run is a span as well, at its end."""
    number, change = context.number, context.change
    own_ref = context.ids.derive(number, change)
    ended = _ended_conditions(state, context) if state.conditions else []
    closed: list[Span] = []
    operation, outcome = state.operation, ""
    if operation is not None:
        overdue, state = expire_operation(state, change.at)
        closed += overdue
        operation = state.operation
    if operation is not None:
        outcome = _outcome(operation, change)
        if outcome == UNKNOWN:
            # The transition belongs to the next operation.
            closed.append(_end_without_row(operation, change.at, UNKNOWN))
            operation, outcome = None, ""
    if operation is not None and outcome:
        closed.append(_close(operation, context, outcome, ended))
        ref, operation = operation.ref, None
    elif operation is not None and _matches(OPERATIONS[operation.name].includes, change):
        ref, operation = operation.ref, operation._replace(rows=(*operation.rows, number))
    else:
        ref = own_ref
        begun = OpenOperation(
            "", number, own_ref, change.at, (number,), _create_links(state, ended, context.peer)
        )
        name = _begun_operation(state, change) if operation is None else ""
        if name:
            operation = begun._replace(name=name)
        else:
            closed.append(_close(begun, context, "", ended))
    if runs and change.event == "stopped" and state.run is not None:
        closed.append(_run_span(state.run, context))
    return SpanUpdate(ref, _next_state(state, operation, context, ref, ended), tuple(closed))


def expire_operation(
    state: DomainSpanState, now: float, latest: float | None = None
) -> tuple[tuple[Span, ...], DomainSpanState]:
    """Close an operation that exceeded its time limit, or that began in the future.

    ``now``, ``latest``: lower and upper bound of the current time; None: the same as ``now``.
    """
    latest = now if latest is None else latest
    operation = state.operation
    if operation is None or now - OPERATION_LIMIT < operation.at < latest + OPERATION_LIMIT:
        return (), state
    span = _end_without_row(operation, operation.at + OPERATION_LIMIT, TIMEOUT)
    return (span,), state._replace(operation=None)


def _begun_operation(state: DomainSpanState, change: Transition) -> str:
    if change.source == INFERRED:
        return ""
    if change.event == "resumed" and state.run is None and change.run_id == run_id(change):
        # On every boot, libvirt sends resumed before started.
        return START
    return BEGINS.get((change.event, change.reason)) or BEGINS.get((change.event, ANY), "")


def _outcome(operation: OpenOperation, change: Transition) -> str:
    """Return the outcome of the operation that the transition ends; "": it does not end it."""
    ends = OPERATIONS[operation.name].ends
    return ends.get((change.event, change.reason)) or ends.get((change.event, ANY), "")


def _matches(pairs: frozenset[Pair], change: Transition) -> bool:
    return (change.event, change.reason) in pairs or (change.event, ANY) in pairs


def _ended_conditions(state: DomainSpanState, context: TransitionContext) -> list[tuple[str, LinkTarget]]:
    """Return the conditions that the transition ends, oldest first."""
    change, closes = context.change, context.closes
    if change.event in ENDS_ALL_CONDITIONS:
        # An incident continues after the stop that is part of it.
        kept = "" if change.incident_id in closes else change.incident_id
        ended = [condition for condition in state.conditions.items() if condition[0] != kept]
    else:
        names = CONDITIONS_ENDED.get(change.event, closes)
        recovered = f"hung/{change.reason}" if change.event == "recovered" else ""
        ended = [
            condition
            for condition in state.conditions.items()
            if condition[0] in names or condition[0] in closes or condition[0] == recovered
        ]
    return ended if len(ended) < 2 else sorted(ended, key=lambda condition: condition[1].at)  # noqa: PLR2004


def _create_links(
    state: DomainSpanState, ended: list[tuple[str, LinkTarget]], peer: SpanRef | None
) -> tuple[Link, ...]:
    if not ended and peer is None and state.previous is not None:
        # The usual case, on the path of every event.
        if state.run is None:
            return (Link(state.previous, ("previous",)),)
        if state.run.ref != state.previous:
            return Link(state.previous, ("previous",)), Link(state.run.ref, ("run",))
    relations: dict[SpanRef, list[str]] = {}
    for relation, ref in (
        *(("entry", target.ref) for _, target in ended),
        ("peer", peer),
        ("previous", state.previous),
        ("run", state.run.ref if state.run else None),
    ):
        if ref is not None and relation not in relations.setdefault(ref, []):
            relations[ref].append(relation)
    return tuple(Link(ref, tuple(names)) for ref, names in relations.items())


def _close(
    operation: OpenOperation, context: TransitionContext, outcome: str, ended: list[tuple[str, LinkTarget]]
) -> Span:
    """Return the span of an operation that ends with the transition, or that consists of it."""
    number, change = context.number, context.change
    name = (
        OPERATION_NAMES.get((change.event, change.reason))
        or operation.name
        or SPAN_NAMES.get(change.event, OTHER_NAME)
    )
    rows = operation.rows if number in operation.rows else (*operation.rows, number)
    links = list(operation.links)
    for _, target in ended:
        if target.ref != operation.ref and all(link.ref != target.ref for link in links):
            links.append(Link(target.ref, ("entry",)))
    if context.peer is not None and all(link.ref != context.peer for link in links):
        links.append(Link(context.peer, ("peer",)))
    if not outcome and name in SUCCESSFUL_ALONE and change.event in ("started", "stopped"):
        outcome = SUCCESS
    start, duration = operation.at, None
    if ended:
        entered_at = ended[0][1].at
        duration = max(0.0, change.at - entered_at)
        if name == SAVE and 0 <= change.at - entered_at < OPERATION_LIMIT:
            # libvirt pauses a domain to save it; only the stop shows that the pause belongs to the save.
            start = min(start, entered_at)
    end = max(change.at, operation.at)
    return Span(operation.number, operation.ref, name, start, end, outcome, duration, tuple(links), rows)


def _end_without_row(operation: OpenOperation, at: float, outcome: str) -> Span:
    """Return the span of an operation that ends without a transition of its own."""
    return Span(
        operation.number,
        operation.ref,
        operation.name,
        operation.at,
        max(at, operation.at),
        outcome,
        None,
        operation.links,
        operation.rows,
    )


def _run_span(began: LinkTarget, context: TransitionContext) -> Span:
    ref = context.ids.derive(context.number, context.change, "run")
    end = max(began.at, context.change.at)
    link = Link(began.ref, ("run",))
    return Span(context.number, ref, RUN, began.at, end, "", None, (link,), ())


def _next_state(
    state: DomainSpanState,
    operation: OpenOperation | None,
    context: TransitionContext,
    ref: SpanRef,
    ended: list[tuple[str, LinkTarget]],
) -> DomainSpanState:
    """Return the state after the transition, with the targets of later links."""
    change = context.change
    target = LinkTarget(ref, change.at)
    conditions = state.conditions
    entered = f"hung/{change.reason}" if change.event == "hung" else CONDITIONS_ENTERED.get(change.event, "")
    incident = change.incident_id if change.incident_id not in context.closes else ""
    if ended or entered or incident:
        ended_names = {name for name, _ in ended}
        conditions = {name: entry for name, entry in conditions.items() if name not in ended_names}
        for name in (entered, incident):
            if name and (name not in conditions) and len(conditions) < MAX_CONDITIONS:
                conditions[name] = target
    migration = state.migration
    if change.reason == "migrated":
        migration = LinkTarget(ref, operation.at if operation is not None else change.at)
    run = state.run
    if change.event == "stopped":
        run = None
    elif change.event == "started" and change.reason != "wakeup":
        run = target
    return DomainSpanState(operation, ref, run, migration, conditions)
