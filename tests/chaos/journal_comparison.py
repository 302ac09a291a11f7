"""Comparison of the recorded events with the journal, domain by domain: lost and duplicated rows.

An event is *observable* if recorder and exporter were connected for a while before and after it. A row is
*recorded* if the recorder was connected. Each observable event must have its row, and each recorded row its
event. Events in an unobserved interval are checked only by the chain of a domain's rows: a running domain is
not started, and a stopped one is not stopped, unless libvirt itself sent that.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BEFORE = 0.5
"""Seconds for which recorder and exporter must be connected before an event."""
AFTER = 3.0
"""Seconds for which they must be connected after it: a verdict takes two seconds, and rows that are not yet
written may be lost at a SIGKILL.
"""
MAX_SKEW = 5.0
"""Maximum seconds between the times at which two processes receive one event, on a busy machine."""
HIGH_COST = 1e6


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
    """Intervals that do not overlap."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.intervals = sorted(intervals)
        self._begins = [interval.begin for interval in self.intervals]

    def cover(self, at: float) -> bool:
        """Return whether an interval contains the time with BEFORE and AFTER."""
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
    """Number of events of the recorder."""
    observable: int = 0
    rows: int = 0
    recorded: int = 0
    reconciled: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    sent_by_libvirt: list[str] = field(default_factory=list)
    """Broken chains in the events of libvirt."""
    timelines: list[str] = field(default_factory=list)
    """Events and rows of the domains with findings, in the order of time."""

    def faults(self) -> int:
        return len(self.lost) + len(self.duplicated) + len(self.broken)

    def __str__(self) -> str:
        return (
            f"{self.events} events, {self.observable} observable; {self.rows} rows, "
            f"{self.recorded} recorded, {self.reconciled} by reconcile; "
            f"lost {len(self.lost)}, duplicated {len(self.duplicated)}, broken chains {len(self.broken)} "
            f"(in what libvirt sent {len(self.sent_by_libvirt)})"
        )


class Alignment:
    """Assignment with the lowest cost, in order, of the events of one kind to the rows of that kind."""

    def __init__(
        self, events: Sequence[Fact], rows: Sequence[Fact], observable: Intervals, recorded: Intervals
    ) -> None:
        self.events = events
        self.rows = rows
        self._without_row = [HIGH_COST if observable.cover(event.at) else 1.0 for event in events]
        self._without_event = [HIGH_COST if recorded.cover(row.at) else 1.0 for row in rows]
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
                lost += [self.events[i]] if self._without_row[i] == HIGH_COST else []
                i += 1
            else:
                extra += [self.rows[j]] if self._without_event[j] == HIGH_COST else []
                j += 1
        return lost, extra

    def _moves(self, i: int, j: int) -> tuple[float, float, float]:
        """Return the costs of an event without a row, of a row without an event, and of a match."""
        more_events, more_rows = i < len(self.events), j < len(self.rows)
        skip_event = self._without_row[i] + self._costs[i + 1][j] if more_events else math.inf
        skip_row = self._without_event[j] + self._costs[i][j + 1] if more_rows else math.inf
        skew = abs(self.events[i].at - self.rows[j].at) if more_events and more_rows else math.inf
        match = skew / (10 * MAX_SKEW) + self._costs[i + 1][j + 1] if skew <= MAX_SKEW else math.inf
        return skip_event, skip_row, match


@dataclass(frozen=True)
class Coverage:
    """Intervals in which events are observable or recorded."""

    observable: Intervals
    recorded: Intervals


def compare(
    domain: str, events: Sequence[Fact], rows: Sequence[Fact], coverage: Coverage, findings: Findings
) -> None:
    """Compare all events and rows of one domain."""
    observed = [row for row in rows if row.source == "callback"]
    findings.events += len(events)
    findings.observable += sum(coverage.observable.cover(event.at) for event in events)
    findings.rows += len(rows)
    findings.recorded += sum(coverage.recorded.cover(row.at) for row in observed)
    findings.reconciled += len(rows) - len(observed)
    before = findings.faults()
    for pair in {fact[1:3] for fact in (*events, *observed)}:
        lost, extra = Alignment(
            [event for event in events if event[1:3] == pair],
            [row for row in observed if row[1:3] == pair],
            coverage.observable,
            coverage.recorded,
        ).leftovers()
        findings.lost += [f"{domain} {fact}" for fact in lost]
        findings.duplicated += [f"{domain} {fact}" for fact in extra]
    is_complete = len(coverage.recorded) == 1
    if is_complete:
        more = Counter(row.event for row in rows) - Counter(event.event for event in events)
        findings.duplicated += [f"{domain} {count} more {event}" for event, count in more.items()]
    # A recorder that was disconnected has broken chains itself.
    sent = breaks(events) if is_complete else []
    findings.sent_by_libvirt += [f"{domain} {broken}" for broken in sent]
    findings.broken += [f"{domain} {broken}" for broken in excess_breaks(sent, breaks(rows))]
    if findings.faults() > before:
        timeline = [(event, "recorded") for event in events] + [
            (row, f"written, {row.source}") for row in rows
        ]
        findings.timelines += [
            f"{domain} {fact.at:.3f} {fact.event}/{fact.detail} {how}"
            for fact, how in sorted(timeline, key=lambda one: one[0].at)
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
"""States in which an event is allowed. At a boot resumed comes before started, at a restore after it."""
RUNS_AFTER = frozenset({"started", "suspended", "shutdown"})
"""Events after which a domain certainly has an emulator: resumed may be the first event of a boot."""
UNPROVEN = {("resumed", ON), ("resumed", COMING), ("shutdown", OFF)}
"""Events that are allowed after an unobserved interval. resumed does not prove an earlier pause: it may be
a boot. shutdown/host does not prove a run: libvirt sends it also for a refused migration and for a
start that the SIGTERM of libvirtd ends (docs/libvirt-versions.md).
"""


class Break(NamedTuple):
    """A fact that cannot follow the state."""

    fact: Fact
    state: str

    def __str__(self) -> str:
        fact = self.fact
        return f"{fact.event}/{fact.detail} ({fact.source}) at {fact.at:.3f} while {self.state}"

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.fact.event, self.fact.detail, self.state


def breaks(facts: Iterable[Fact]) -> list[Break]:
    """Return the facts that cannot follow their predecessors. Definitions do not change the state."""
    found = []
    state, before = "", ""
    for fact in facts:
        if fact.event not in AFTER_EVENT:
            continue
        restored = fact.event == "resumed" and before == "started"
        known = (fact.event, state) in UNPROVEN or _failed_to_start(fact, state)
        if state and not (state in ALLOWED[fact.event] or known or restored):
            found.append(Break(fact, state))
        # As the first known event it may be a boot or the end of a pause.
        coming = fact.event == "resumed" and state in ("", OFF, COMING)
        # A shutdown of an unknown domain does not prove a run.
        alone = fact.event == "shutdown" and state in ("", OFF)
        state = (state and COMING) if coming else state if alone else AFTER_EVENT[fact.event]
        before = fact.event
    return found


def unnoticed_reboots(domain: str, rows: Iterable[Fact], reboots: Iterable[float]) -> list[str]:
    """Return the host reboots after which the first row of a running domain is not its stop.

    ``rows``: in the order of the journal; ``reboots``: Unix time in seconds.
    """
    changes = [row for row in rows if row.event in AFTER_EVENT]
    found = []
    for reboot in reboots:
        before = [row for row in changes if row.at < reboot]
        after = next((row for row in changes if row.at >= reboot), None)
        ran = bool(before) and before[-1].event in RUNS_AFTER
        if ran and (after is None or after.event != "stopped"):
            found.append(f"{domain}: no stop after the host's reboot at {reboot:.3f}, but {after}")
    return found


def excess_breaks(sent: Iterable[Break], found: Iterable[Break]) -> list[Break]:
    """Return the breaks that libvirt's events do not have: libvirt has race conditions, and its events are
    counted.
    """
    excused = Counter(broken.kind for broken in sent)
    left = []
    for broken in found:
        if excused[broken.kind]:
            excused[broken.kind] -= 1
        else:
            left.append(broken)
    return left


def _failed_to_start(fact: Fact, state: str) -> bool:
    """Return whether the fact is a failed start. libvirt rarely sends an event for it; the domain stays
    off.
    """
    return state == OFF and (fact.event, fact.detail) == ("stopped", "failed")
