"""Pure: transitions become durations: how long what libvirt did took.

Law: a duration is measured between two transitions that libvirt told of itself. What was only inferred
(source ``reconcile``) has no time of its own: it ends what is under way, without a figure. No clock, no
I/O, no libvirt.

Outcomes:

    success     it came to the end it was begun for
    failed      it came to another end, which nobody asked for
    cancelled   somebody thought better of it: the domain runs on, or was stopped otherwise
    timeout     somebody lost patience with it, and destroyed the domain
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from libvirt_lifecycle_exporter.engine.incidents import Incident
from libvirt_lifecycle_exporter.model.severity import CRASHED, FAILED
from libvirt_lifecycle_exporter.model.transitions import Transition

Pair = tuple[str, str]
Key = tuple[str, str]
"""connection, uuid"""
_Kept = TypeVar("_Kept")

ANY: Final = "*"
"""Stands for the reasons of an event that have no row of their own."""

SUCCESS: Final = "success"
FAILED_OUTCOME: Final = "failed"
CANCELLED: Final = "cancelled"
TIMEOUT: Final = "timeout"
OUTCOMES: Final = (SUCCESS, FAILED_OUTCOME, CANCELLED, TIMEOUT)
UNCOUNTED: Final = ""
"""It ended, and was not what it looked like: there is no figure."""

INFERRED: Final = "reconcile"
"""The source of a transition that nobody saw."""

OUTAGE: Final = "outage"
HANG: Final = "hang"
OPERATIONS: Final = ("shutdown", "pause", "save", "restore", "migrate_in", "migrate_out", OUTAGE, HANG)

EXPECTED: Final[tuple[Pair, ...]] = (
    *((operation, SUCCESS) for operation in OPERATIONS),
    ("migrate_in", FAILED_OUTCOME),
    ("migrate_out", FAILED_OUTCOME),
    (OUTAGE, CANCELLED),
    (HANG, FAILED_OUTCOME),
)
"""The (operation, outcome) that start at 0, as pairs do: increase() of a series born at 1 is 0."""

OUTAGES: Final = frozenset({CRASHED, FAILED})
"""Kinds of incident in which the domain does not run."""

BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds in seconds: a pause for a snapshot is short, an outage may last for hours."""

MEMORY: Final = 65_536
"""Domains whose operations are remembered before the oldest are let go."""


@dataclass(frozen=True, eq=False)
class Course:
    """How an operation begins, and with which outcome it ends."""

    operation: str
    begins: frozenset[Pair]
    ends: Mapping[Pair, str]

    def outcome(self, change: Transition) -> str | None:
        """Return the outcome if ``change`` ends it."""
        any_reason = self.ends.get((change.event, ANY))
        return self.ends.get((change.event, change.reason), any_reason)


COURSES: Final = (
    Course(
        "shutdown",
        frozenset({("shutdown", "guest"), ("shutdown", "finished")}),
        {
            ("stopped", "shutdown"): SUCCESS,
            ("stopped", "quit"): SUCCESS,
            ("stopped", "destroyed"): TIMEOUT,
            ("stopped", ANY): FAILED_OUTCOME,
            ("resumed", ANY): CANCELLED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # "host" is also how libvirt itself ends an emulator (from 11 on, for a save, a migration, a dump), or
    # how it says that one never came up. Only the stop tells.
    Course(
        "shutdown",
        frozenset({("shutdown", "host")}),
        {
            ("stopped", "shutdown"): SUCCESS,
            ("stopped", "quit"): SUCCESS,
            ("stopped", ANY): UNCOUNTED,
            ("resumed", ANY): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # Saving, leaving and going back to a snapshot suspend the domain first; so, at times, does a panic.
    Course(
        "pause",
        frozenset({("suspended", "paused")}),
        {
            ("resumed", ANY): SUCCESS,
            ("stopped", "shutdown"): CANCELLED,
            ("stopped", "quit"): CANCELLED,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", "saved"): UNCOUNTED,
            ("stopped", "migrated"): UNCOUNTED,
            ("stopped", "from_snapshot"): UNCOUNTED,
            ("stopped", "recreated"): UNCOUNTED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("crashed", "panicked"): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # Of a domain that had been paused before, it is the time since then: events cannot tell the two apart.
    Course(
        "save",
        frozenset({("suspended", "paused"), ("shutdown", "host")}),
        {
            ("stopped", "saved"): SUCCESS,
            ("stopped", ANY): UNCOUNTED,
            ("resumed", ANY): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    Course(
        "restore",
        frozenset({("started", "restored")}),
        {
            ("resumed", ANY): SUCCESS,
            ("suspended", "restored"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # A domain that left paused arrives with suspended/paused.
    Course(
        "migrate_in",
        frozenset({("started", "migrated")}),
        {
            ("resumed", "postcopy_failed"): FAILED_OUTCOME,
            ("resumed", ANY): SUCCESS,
            ("suspended", "paused"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # The last part, in which the guest stands still here: nothing tells when the copying began. A migration
    # that broke in post-copy may be taken up again, and succeed.
    Course(
        "migrate_out",
        frozenset({("suspended", "migrated"), ("suspended", "postcopy")}),
        {
            ("stopped", "migrated"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("resumed", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
)
"""Each operation but those of incidents and of hangs; one that begins in two ways has two rows."""

BEGINS: Final[Mapping[Pair, tuple[Course, ...]]] = MappingProxyType(
    {
        pair: tuple(course for course in COURSES if pair in course.begins)
        for pair in {pair for course in COURSES for pair in course.begins}
    }
)
"""(event, reason) -> what it begins."""


HANG_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"recovered": SUCCESS, "stopped": FAILED_OUTCOME, "started": UNCOUNTED}
)
"""Event -> how a hang ends: by itself, by a stop, or unseen."""


class Duration(NamedTuple):
    """How long an operation took."""

    connection: str
    operation: str
    outcome: str
    seconds: float

    @property
    def bucket(self) -> int:
        """The place in ``BUCKETS`` (or behind them) that it falls into."""
        return bisect_left(BUCKETS, self.seconds)


@dataclass(slots=True)
class _Hang:
    since: float
    signals: set[str]
    """What does not answer now."""


class DurationTracker:
    """Measures the operations under way."""

    def __init__(self) -> None:
        self._under_way: dict[Key, dict[Course, float]] = {}
        self._hangs: dict[Key, _Hang] = {}

    def take(self, change: Transition) -> list[Duration]:
        """Return the operations that ``change`` ends, and note those that it begins."""
        key = (change.connection, change.uuid)
        ended = [*self._end(key, change), *self._hang(key, change)]
        self._begin(key, change)
        return ended if change.source != INFERRED else []

    def incident_closed(self, incident: Incident, *, removed: bool = False) -> list[Duration]:
        """Return the outage that an incident was; ``removed``: the domain did not live to see its end."""
        if incident.kind not in OUTAGES or incident.closed_at is None:
            return []
        outcome = CANCELLED if removed else SUCCESS
        return [_duration(incident.connection, OUTAGE, outcome, incident.opened_at, incident.closed_at)]

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds: what is under way did not take longer for it."""
        for under_way in self._under_way.values():
            for course in under_way:
                under_way[course] += jump
        for hang in self._hangs.values():
            hang.since += jump

    def forget(self, connection: str, uuid: str) -> None:
        """Let go of a domain."""
        self._under_way.pop((connection, uuid), None)
        self._hangs.pop((connection, uuid), None)

    def _begin(self, key: Key, change: Transition) -> None:
        begun = BEGINS.get((change.event, change.reason), ()) if change.source != INFERRED else ()
        for course in begun:
            under_way = _remembered(self._under_way, key, {})
            if all(other.operation != course.operation for other in under_way):
                under_way[course] = change.at

    def _end(self, key: Key, change: Transition) -> Iterator[Duration]:
        under_way = self._under_way.pop(key, {})
        left = {}
        for course, began in under_way.items():
            outcome = course.outcome(change)
            if outcome is None:
                left[course] = began
            elif outcome != UNCOUNTED:
                yield _duration(change.connection, course.operation, outcome, began, change.at)
        if left:
            self._under_way[key] = left

    def _hang(self, key: Key, change: Transition) -> Iterator[Duration]:
        """One hang lasts from the first thing that does not answer until all do again."""
        if change.event == "hung":
            _remembered(self._hangs, key, _Hang(change.at, set())).signals.add(change.reason)
        hang = self._hangs.get(key)
        if hang is None:
            return
        if change.event == "recovered":
            hang.signals.discard(change.reason)
        outcome = HANG_ENDS.get(change.event)
        if outcome is None or (change.event == "recovered" and hang.signals):
            return
        del self._hangs[key]
        if outcome != UNCOUNTED:
            yield _duration(change.connection, HANG, outcome, hang.since, change.at)


def _remembered(memory: dict[Key, _Kept], key: Key, new: _Kept) -> _Kept:
    if key not in memory and len(memory) >= MEMORY:
        del memory[next(iter(memory))]
    return memory.setdefault(key, new)


def _duration(connection: str, operation: str, outcome: str, began: float, ended: float) -> Duration:
    # A clock that stepped back must not make a negative one of it.
    return Duration(connection, operation, outcome, max(0.0, ended - began))
