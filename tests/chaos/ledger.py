"""The recorder's log against the journal, domain by domain: what was lost, what was counted twice.

Not everything can be asked. An event is *observable* if recorder and exporter were connected for a while
before and after it; a row is *witnessed* if the recorder was. Each observable event has its row, and each
witnessed row its event: that is asked exactly. What happened in a blind interval shows only in that the
rows of a domain chain: nothing is started that runs, and nothing stops that does not; unless libvirt itself
said so.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BEFORE = 0.5
"""Seconds that everybody must have been connected before an event."""
AFTER = 3.0
"""... and after it: a verdict takes two, and what was not yet in the journal at a kill -9 may be lost."""
APART = 5.0
"""Seconds between two processes' hearing of one event at most; the machine is busy."""
DEAR = 1e6


class Interval(NamedTuple):
    begin: float
    end: float


class Fact(NamedTuple):
    """An event of the recorder, or a row of the journal."""

    at: float
    event: str
    detail: str
    source: str = "callback"


class Intervals:
    """Some that do not overlap."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.intervals = sorted(intervals)
        self._begins = [interval.begin for interval in self.intervals]

    def cover(self, at: float) -> bool:
        """Also a while before and after."""
        place = bisect_right(self._begins, at - BEFORE) - 1
        return place >= 0 and at + AFTER <= self.intervals[place].end

    def seconds(self) -> float:
        return sum(interval.end - interval.begin for interval in self.intervals)

    def __and__(self, other: "Intervals") -> "Intervals":
        pairs = ((one, two) for one in self.intervals for two in other.intervals)
        both = (Interval(max(one.begin, two.begin), min(one.end, two.end)) for one, two in pairs)
        return Intervals(interval for interval in both if interval.begin < interval.end)

    def __len__(self) -> int:
        return len(self.intervals)


@dataclass
class Findings:
    events: int = 0
    """That the recorder heard."""
    observable: int = 0
    rows: int = 0
    witnessed: int = 0
    reconciled: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    of_libvirt: list[str] = field(default_factory=list)
    """Chains that are broken in what libvirt sent."""
    stories: list[str] = field(default_factory=list)
    """Of the domains with a finding: what was heard and what was written, in the order of time."""

    def faults(self) -> int:
        return len(self.lost) + len(self.doubled) + len(self.broken)

    def __str__(self) -> str:
        return (
            f"{self.events} events, {self.observable} observable; {self.rows} rows, "
            f"{self.witnessed} witnessed, {self.reconciled} by reconcile; "
            f"lost {len(self.lost)}, doubled {len(self.doubled)}, broken chains {len(self.broken)} "
            f"(in what libvirt sent {len(self.of_libvirt)})"
        )


class Alignment:
    """The cheapest assignment, in order, of the events of one kind to the rows of that kind."""

    def __init__(
        self, events: Sequence[Fact], rows: Sequence[Fact], observable: Intervals, witnessed: Intervals
    ) -> None:
        self.events = events
        self.rows = rows
        self._without_row = [DEAR if observable.cover(event.at) else 1.0 for event in events]
        self._without_event = [DEAR if witnessed.cover(row.at) else 1.0 for row in rows]
        self._costs = [[0.0] * (len(rows) + 1) for _ in range(len(events) + 1)]
        for i in range(len(events), -1, -1):
            for j in range(len(rows), -1, -1):
                if i < len(events) or j < len(rows):
                    self._costs[i][j] = min(self._moves(i, j))

    def leftovers(self) -> tuple[list[Fact], list[Fact]]:
        """Return the events that should have a row, and the rows that should have an event."""
        lost, extra = [], []
        i = j = 0
        while i < len(self.events) or j < len(self.rows):
            skip_event, skip_row, match = self._moves(i, j)
            if match <= min(skip_event, skip_row):
                i, j = i + 1, j + 1
            elif skip_event <= skip_row:
                lost += [self.events[i]] if self._without_row[i] == DEAR else []
                i += 1
            else:
                extra += [self.rows[j]] if self._without_event[j] == DEAR else []
                j += 1
        return lost, extra

    def _moves(self, i: int, j: int) -> tuple[float, float, float]:
        """The costs: the event stays without a row; the row without an event; they belong together."""
        more_events, more_rows = i < len(self.events), j < len(self.rows)
        skip_event = self._without_row[i] + self._costs[i + 1][j] if more_events else math.inf
        skip_row = self._without_event[j] + self._costs[i][j + 1] if more_rows else math.inf
        apart = abs(self.events[i].at - self.rows[j].at) if more_events and more_rows else math.inf
        match = apart / (10 * APART) + self._costs[i + 1][j + 1] if apart <= APART else math.inf
        return skip_event, skip_row, match


@dataclass(frozen=True)
class Views:
    """When who was watching."""

    observable: Intervals
    witnessed: Intervals


def compare(
    domain: str, events: Sequence[Fact], rows: Sequence[Fact], views: Views, findings: Findings
) -> None:
    """All that one domain did."""
    heard = [row for row in rows if row.source == "callback"]
    findings.events += len(events)
    findings.observable += sum(views.observable.cover(event.at) for event in events)
    findings.rows += len(rows)
    findings.witnessed += sum(views.witnessed.cover(row.at) for row in heard)
    findings.reconciled += len(rows) - len(heard)
    before = findings.faults()
    for pair in {fact[1:3] for fact in (*events, *heard)}:
        lost, extra = Alignment(
            [event for event in events if event[1:3] == pair],
            [row for row in heard if row[1:3] == pair],
            views.observable,
            views.witnessed,
        ).leftovers()
        findings.lost += [f"{domain} {fact}" for fact in lost]
        findings.doubled += [f"{domain} {fact}" for fact in extra]
    is_complete = len(views.witnessed) == 1
    if is_complete:
        more = Counter(row.event for row in rows) - Counter(event.event for event in events)
        findings.doubled += [f"{domain} {count} more {event}" for event, count in more.items()]
    # A recorder that was away has broken chains of its own.
    sent = breaks(events) if is_complete else []
    findings.of_libvirt += [f"{domain} {broken}" for broken in sent]
    findings.broken += [f"{domain} {broken}" for broken in beyond(sent, breaks(rows))]
    if findings.faults() > before:
        told = [(event, "heard") for event in events] + [(row, f"written, {row.source}") for row in rows]
        findings.stories += [
            f"{domain} {fact.at:.3f} {fact.event}/{fact.detail} {how}"
            for fact, how in sorted(told, key=lambda one: one[0].at)
        ]


OFF, ON, PAUSED, COMING, ENDING = "off", "on", "paused", "coming", "ending"
AFTER_EVENT = {"started": ON, "stopped": OFF, "suspended": PAUSED, "resumed": ON, "shutdown": ENDING}
ALLOWED = {
    "started": {OFF, COMING},
    "stopped": {ON, PAUSED, ENDING, COMING},
    "suspended": {ON, COMING},
    "resumed": {PAUSED, OFF},
    "shutdown": {ON, PAUSED, ENDING},
}
"""A guest is resumed before it is told to be started, when it boots, and after, when it is restored."""
RUNS_AFTER = frozenset({"started", "suspended", "shutdown"})
"""Events after which a domain has an emulator, for certain: a resumption may be the first word of a boot."""
UNPROVEN = {("resumed", ON), ("resumed", COMING), ("shutdown", OFF)}
"""What may follow a blind interval. Its end does not prove that a pause has begun in it: it may be a boot;
and a shutdown/host does not prove that a run has: a refused migration sends it, too, and so does a start that
libvirtd's own SIGTERM ends (docs/libvirt-versions.md)."""


class Break(NamedTuple):
    """A fact that cannot follow this state."""

    fact: Fact
    state: str

    def __str__(self) -> str:
        fact = self.fact
        return f"{fact.event}/{fact.detail} ({fact.source}) at {fact.at:.3f} while {self.state}"

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.fact.event, self.fact.detail, self.state


def breaks(facts: Iterable[Fact]) -> list[Break]:
    """Neighbours that cannot follow each other. Descriptions change no state."""
    found = []
    state, before = "", ""
    for fact in facts:
        if fact.event not in AFTER_EVENT:
            continue
        restored = fact.event == "resumed" and before == "started"
        known = (fact.event, state) in UNPROVEN or _failed_to_start(fact, state)
        if state and not (state in ALLOWED[fact.event] or known or restored):
            found.append(Break(fact, state))
        # Of the first one that is known, either may be meant: it boots, or it was paused.
        coming = fact.event == "resumed" and state in ("", OFF, COMING)
        # Nor does a shutdown tell of a domain that was not known whether it had begun.
        alone = fact.event == "shutdown" and state in ("", OFF)
        state = (state and COMING) if coming else state if alone else AFTER_EVENT[fact.event]
        before = fact.event
    return found


def unnoticed_reboots(domain: str, rows: Iterable[Fact], reboots: Iterable[float]) -> list[str]:
    """Return the reboots of the host after which a domain that was known to run does not begin with its stop.

    ``rows``: in the order of the journal; ``reboots``: Unix time, seconds.
    """
    told = [row for row in rows if row.event in AFTER_EVENT]
    found = []
    for reboot in reboots:
        before = [row for row in told if row.at < reboot]
        after = next((row for row in told if row.at >= reboot), None)
        ran = bool(before) and before[-1].event in RUNS_AFTER
        if ran and (after is None or after.event != "stopped"):
            found.append(f"{domain}: no stop after the host's reboot at {reboot:.3f}, but {after}")
    return found


def beyond(sent: Iterable[Break], found: Iterable[Break]) -> list[Break]:
    """Those that libvirt is not to blame for: it has its own races, and what it sends is counted as sent."""
    excused = Counter(broken.kind for broken in sent)
    left = []
    for broken in found:
        if excused[broken.kind]:
            excused[broken.kind] -= 1
        else:
            left.append(broken)
    return left


def _failed_to_start(fact: Fact, state: str) -> bool:
    """libvirt seldom tells of a start that fails: it is found by asking. What was off is off still."""
    return state == OFF and (fact.event, fact.detail) == ("stopped", "failed")
