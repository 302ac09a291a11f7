"""Pure: which span each transition is on, and when that span is over.

Law: every transition is on exactly one span, and every span ends: with the row that ends its operation, or
``LIMIT`` after its beginning. Whatever is open of a domain holds back nothing but its own rows. What was
closed never changes. No clock, no I/O, no OpenTelemetry.

What the operations are is said in ``courses``.

Conditions that last (paused, asleep, hung, an incident) are not spans: their entry is sent at once, and their
exit is a span of its own that is linked to the entry and carries the duration.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.inventory import run_id
from libvirt_lifecycle_exporter.engine.span_operations import (
    ANY,
    BEGINS,
    COURSES,
    ENTERS,
    INFERRED,
    INSTANT,
    LEAVES,
    LEAVES_ALL,
    LIMIT,
    MOST_CONDITIONS,
    NAMES,
    OTHER,
    RUN,
    SAVE,
    START,
    SUCCESS,
    TIMEOUT,
    UNKNOWN,
    WHOLE,
)
from libvirt_lifecycle_exporter.model.transitions import Transition

Pair = tuple[str, str]


class Ref(NamedTuple):
    """Names a span: lower-case hexadecimal."""

    trace_id: str
    span_id: str


class Moment(NamedTuple):
    """A span that others will be linked to, and when it was."""

    ref: Ref
    at: float

    def shifted(self, seconds: float) -> "Moment":
        """Return it as it is after the wall clock jumped."""
        return Moment(self.ref, self.at + seconds)


class Link(NamedTuple):
    """Another span, and what it is to this one: ``previous``, ``run``, ``entry``, ``peer``."""

    ref: Ref
    relations: tuple[str, ...]


class Open(NamedTuple):
    """An operation under way."""

    name: str
    number: int
    """The journal number of its first row."""
    ref: Ref
    at: float
    rows: tuple[int, ...]
    links: tuple[Link, ...]


class Trail(NamedTuple):
    """What is remembered of one domain between its rows."""

    open: Open | None = None
    previous: Ref | None = None
    run: Moment | None = None
    """The span in which its present run began."""
    migration: Moment | None = None
    """Its newest migration, for the other host's to be linked to."""
    conditions: Mapping[str, Moment] = MappingProxyType({})

    def shifted(self, seconds: float) -> "Trail":
        """Return it as it is after the wall clock jumped."""
        return Trail(
            self.open and self.open._replace(at=self.open.at + seconds),
            self.previous,
            self.run and self.run.shifted(seconds),
            self.migration and self.migration.shifted(seconds),
            {name: moment.shifted(seconds) for name, moment in self.conditions.items()},
        )


NOTHING: Final = Trail()


class Span(NamedTuple):
    """One that is over."""

    number: int
    ref: Ref
    name: str
    began: float
    ended: float
    outcome: str
    duration: float | None
    """Seconds that the condition lasted which it ends."""
    links: tuple[Link, ...]
    rows: tuple[int, ...]
    """Journal numbers of its transitions."""


class Step(NamedTuple):
    """One transition, and what is known beside it."""

    number: int
    change: Transition
    ids: "Ids"
    closes: frozenset[str] = frozenset()
    """Incidents that end with it."""
    peer: Ref | None = None
    """The span of the same migration on another host."""


class Placement(NamedTuple):
    """Where a transition belongs."""

    ref: Ref
    trail: Trail
    closed: tuple[Span, ...]


class Ids:
    """Derives ids. The same journal, domain, number and time give the same ones for ever."""

    def __init__(self, salt: str) -> None:
        """``salt``: names the host and the journal."""
        self._salt = salt

    def of(self, number: int, change: Transition, what: str = "") -> Ref:
        # The time, too: after a power cut the last numbers may be given again.
        text = "\0".join((self._salt, change.uuid, str(number), repr(change.at), what))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return Ref(digest[:32], digest[32:48])


def place(trail: Trail, step: Step, *, runs: bool = False) -> Placement:
    """Say on which span a transition is, and which spans end with it. ``runs``: whole runs, too."""
    overdue, trail = expire(trail, step.change.at)
    number, change = step.number, step.change
    own = step.ids.of(number, change)
    entries = _left(trail, step)
    under_way = trail.open
    outcome = _end(under_way, change)
    closed = list(overdue)
    if under_way is not None and outcome == UNKNOWN:
        # It belongs to what comes after.
        closed.append(_over(under_way, under_way.name, change.at, UNKNOWN))
        trail, under_way, outcome = trail._replace(open=None), None, None
    if under_way is not None and outcome is not None:
        span = _closed(under_way, step, outcome, entries)
        closed.append(span)
        trail = trail._replace(open=None)
    elif under_way is not None and _fits(COURSES[under_way.name].takes, change):
        trail = trail._replace(open=under_way._replace(rows=(*under_way.rows, number)))
        span = None
    else:
        links = _links(trail, entries, step.peer)
        begun = Open("", number, own, change.at, (number,), links)
        name = _begins(change) if under_way is None else ""
        if name:
            trail = trail._replace(open=begun._replace(name=name))
            span = None
        else:
            span = _closed(begun, step, "", entries)
            closed.append(span)
    ref = span.ref if span is not None else (trail.open.ref if trail.open is not None else own)
    if runs and change.event == "stopped" and trail.run is not None:
        closed.append(_run(trail.run, step))
    return Placement(ref, _after(trail, step, ref, entries), tuple(closed))


def expire(trail: Trail, now: float, latest: float | None = None) -> tuple[tuple[Span, ...], Trail]:
    """Close what is under way for too long (or since a time that is yet to come).

    ``now``, ``latest``: the earliest and the latest that it may be; None: the same.
    """
    latest = now if latest is None else latest
    under_way = trail.open
    if under_way is None or now - LIMIT < under_way.at < latest + LIMIT:
        return (), trail
    span = _over(under_way, under_way.name, under_way.at + LIMIT, TIMEOUT)
    return (span,), trail._replace(open=None)


def _begins(change: Transition) -> str:
    if change.source == INFERRED:
        return ""
    if change.event == "resumed" and change.run_id == run_id(change):
        # libvirt tells of a boot in this order.
        return START
    return BEGINS.get((change.event, change.reason)) or BEGINS.get((change.event, ANY), "")


def _end(under_way: Open | None, change: Transition) -> str | None:
    if under_way is None:
        return None
    ends = COURSES[under_way.name].ends
    return ends.get((change.event, change.reason)) or ends.get((change.event, ANY))


def _fits(pairs: frozenset[Pair], change: Transition) -> bool:
    return (change.event, change.reason) in pairs or (change.event, ANY) in pairs


def _left(trail: Trail, step: Step) -> list[tuple[str, Moment]]:
    """Return the conditions that the transition ends, oldest first."""
    if not trail.conditions:
        return []
    change = step.change
    if change.event in LEAVES_ALL:
        names = set(trail.conditions)
    else:
        names = set(LEAVES.get(change.event, ())) | step.closes
        if change.event == "recovered":
            names.add(f"hung/{change.reason}")
    found = [(name, moment) for name, moment in trail.conditions.items() if name in names]
    # An incident outlives the stop that is part of it.
    stays = {change.incident_id} - step.closes if change.event in LEAVES_ALL else set[str]()
    return sorted((one for one in found if one[0] not in stays), key=lambda one: one[1].at)


def _links(trail: Trail, entries: list[tuple[str, Moment]], peer: Ref | None) -> tuple[Link, ...]:
    related: dict[Ref, list[str]] = {}
    for relation, ref in (
        *(("entry", moment.ref) for _, moment in entries),
        ("peer", peer),
        ("previous", trail.previous),
        ("run", trail.run.ref if trail.run else None),
    ):
        if ref is not None and relation not in related.setdefault(ref, []):
            related[ref].append(relation)
    return tuple(Link(ref, tuple(relations)) for ref, relations in related.items())


def _closed(begun: Open, step: Step, outcome: str, entries: list[tuple[str, Moment]]) -> Span:
    number, change = step.number, step.change
    name = NAMES.get((change.event, change.reason)) or begun.name or INSTANT.get(change.event, OTHER)
    rows = begun.rows if number in begun.rows else (*begun.rows, number)
    links = list(begun.links)
    for _, moment in entries:
        if moment.ref != begun.ref and all(link.ref != moment.ref for link in links):
            links.append(Link(moment.ref, ("entry",)))
    if step.peer is not None and all(link.ref != step.peer for link in links):
        links.append(Link(step.peer, ("peer",)))
    outcome = outcome or (SUCCESS if name in WHOLE and change.event in ("started", "stopped") else "")
    began, duration = begun.at, None
    if entries:
        entered = entries[0][1].at
        duration = max(0.0, change.at - entered)
        if name == SAVE and 0 <= change.at - entered < LIMIT:
            # libvirt pauses a domain to save it, and only the stop tells what it was paused for.
            began = min(began, entered)
    ended = max(change.at, begun.at)
    return Span(begun.number, begun.ref, name, began, ended, outcome, duration, tuple(links), rows)


def _over(begun: Open, name: str, at: float, outcome: str) -> Span:
    return Span(
        begun.number, begun.ref, name, begun.at, max(at, begun.at), outcome, None, begun.links, begun.rows
    )


def _run(began: Moment, step: Step) -> Span:
    ref = step.ids.of(step.number, step.change, "run")
    ended = max(began.at, step.change.at)
    link = Link(began.ref, ("run",))
    return Span(step.number, ref, RUN, began.at, ended, "", None, (link,), ())


def _after(trail: Trail, step: Step, ref: Ref, entries: list[tuple[str, Moment]]) -> Trail:
    """Remember what later rows are to be linked to."""
    change = step.change
    here = Moment(ref, change.at)
    conditions = trail.conditions
    entered = f"hung/{change.reason}" if change.event == "hung" else ENTERS.get(change.event, "")
    incident = change.incident_id if change.incident_id not in step.closes else ""
    if entries or entered or incident:
        left = {name for name, _ in entries}
        conditions = {name: moment for name, moment in conditions.items() if name not in left}
        for name in (entered, incident):
            if name and (name not in conditions) and len(conditions) < MOST_CONDITIONS:
                conditions[name] = here
    migration = trail.migration
    if change.reason == "migrated":
        migration = Moment(ref, trail.open.at if trail.open is not None else change.at)
    run = trail.run
    if change.event == "stopped":
        run = None
    elif change.event == "started" and change.reason != "wakeup":
        run = here
    return Trail(trail.open, ref, run, migration, conditions)
