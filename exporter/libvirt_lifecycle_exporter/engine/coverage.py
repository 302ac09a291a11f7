"""Coverage: when each connection was observed, and for which domains events may have been missed.

``Coverage`` knows until when each connection was observed, counts unobserved time, and makes states unknown.
``ObservationGaps`` knows which domains are certain again after a gap: those of which a later event determined
the state, or with whose state an answer agreed that was requested after the downtime. An answer can overtake
events, and agree by chance: events that arrive within ``SETTLING_TIME`` seconds of an answer still count as
the first ones after the downtime.

Invariant: unobserved time is counted once, from the last observed moment to the registration of the
callbacks, whether the connection or the exporter was down.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.changes import (
    ChangeBatch,
    ConnectionChanged,
    StatesKnownChanged,
)
from libvirt_lifecycle_exporter.engine.record import NEVER, Certainty, DomainRecord, Records
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor

RECORD_INTERVAL: Final = 1.0
"""Seconds between two records of until when a connection was observed."""
CLOCK_TOLERANCE: Final = 5.0
"""Seconds by which the steady clock may differ from time stamps taken before a message was queued."""
MAX_UNPROVEN: Final = 7 * 86_400.0
"""The most unobserved seconds that the wall clock alone can prove, across a reboot of the host."""
SETTLING_TIME: Final = 5.0
"""Seconds after an answer in which events that it has overtaken may arrive."""


class Grace(NamedTuple):
    """How long a connection may be down before the states of its domains are unknown."""

    seconds: float = 30.0
    """Long enough for a restart of the daemon."""
    monotonic: Callable[[], float] = time.monotonic


GRACE: Final = Grace()


@dataclass(slots=True)
class _Downtime:
    """The time between the loss of a connection and its next complete listing."""

    since: float
    """Unix time, seconds."""
    due: float
    """When the states become unknown; monotonic, seconds."""
    is_shown: bool = False


@dataclass(slots=True)
class _ConnectionCoverage:
    is_up: bool = False
    was_lost: bool = False
    """Whether it was up and is being reopened."""
    is_listed: bool = False
    """Whether this process has listed it."""
    observed_until: float = 0.0
    """Until when nothing was missed; Unix time, seconds; 0: it was never observed."""
    downtime: _Downtime | None = None
    """The current gap, if its domains were observed before."""
    steady: float | None = None
    """The steady clock at that time; None: on another boot of the host, or not known."""


class Coverage:
    """The coverage of all connections."""

    def __init__(
        self,
        connections: Iterable[str],
        grace: Grace = GRACE,
        clock_monitor: ClockMonitor | None = None,
    ) -> None:
        """``clock_monitor``: detects jumps of the wall clock; None: the wall clock is trusted."""
        self._grace = grace
        self._clock_monitor = clock_monitor
        self._connections = {name: _ConnectionCoverage() for name in connections}

    def names(self) -> frozenset[str]:
        """Return the names of the connections."""
        return frozenset(self._connections)

    def is_ready(self) -> bool:
        """Return whether at least one connection has been listed completely."""
        return any(coverage.is_listed for coverage in self._connections.values())

    def down_connections(self) -> list[str]:
        """Return the names of the connections that are down."""
        return [name for name, coverage in self._connections.items() if not coverage.is_up]

    def restore(self, until: Mapping[str, float]) -> None:
        """Load until when each connection was observed before a restart."""
        for name, moment in until.items():
            coverage = self._connections[name]
            coverage.observed_until = moment
            coverage.steady = (
                self._clock_monitor.steady_of(moment) if self._clock_monitor is not None else None
            )
            self._begin_downtime(name, moment)

    def observed_until(self) -> dict[str, float]:
        """Return until when each connection was observed; Unix time, seconds."""
        return {
            name: coverage.observed_until
            for name, coverage in self._connections.items()
            if coverage.observed_until
        }

    def record_listing(self, connection: str, at: float, batch: ChangeBatch) -> None:
        """Record a complete listing. ``at``: Unix time, seconds."""
        coverage = self._connections[connection]
        coverage.is_listed = True
        # An answer of a connection that is lost meanwhile says nothing about the time since.
        if coverage.is_up or not coverage.observed_until:
            self._record(connection, at, batch)
        if coverage.is_up and coverage.downtime is not None:
            if coverage.downtime.is_shown:
                batch.add(StatesKnownChanged(connection, None))
            coverage.downtime = None

    def connection_up(self, link: ConnectionUp, batch: ChangeBatch) -> None:
        """Record that a connection is open and its callbacks are registered."""
        coverage = self._connections[link.connection]
        if coverage.was_lost:
            batch.add_total(link.connection, "reconnect")
        coverage.is_up, coverage.was_lost = True, False
        if coverage.observed_until:
            seconds = self._unobserved_seconds(coverage, link.at)
            batch.add_total(link.connection, "unobserved", seconds)
        self._record(link.connection, link.at, batch)
        batch.add(ConnectionChanged(link.connection, is_up=True))

    def shift(self, jump: float, batch: ChangeBatch) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        for name, coverage in self._connections.items():
            if coverage.observed_until:
                coverage.observed_until += jump
                batch.observed_until[name] = coverage.observed_until

    def _unobserved_seconds(self, coverage: _ConnectionCoverage, at: float) -> float:
        """Return the seconds until ``at`` in which events may have been missed."""
        seconds = max(0.0, at - coverage.observed_until)
        if self._clock_monitor is None:
            return seconds
        if coverage.steady is None:
            return min(seconds, MAX_UNPROVEN)
        elapsed = self._clock_monitor.steady() - coverage.steady
        return seconds if abs(seconds - elapsed) <= CLOCK_TOLERANCE else elapsed

    def connection_down(self, link: ConnectionDown, batch: ChangeBatch) -> None:
        """Record that a connection was lost or could not be opened."""
        coverage = self._connections[link.connection]
        if coverage.is_up:
            self._record(link.connection, link.at, batch)
            self._begin_downtime(link.connection, link.at)
            coverage.was_lost = True
        coverage.is_up = False
        batch.add(ConnectionChanged(link.connection, is_up=False))

    def show_unknown(self, batch: ChangeBatch) -> None:
        """Make the states of domains unknown if their connection has been down for too long."""
        now = self._grace.monotonic()
        for name, coverage in self._connections.items():
            downtime = coverage.downtime
            if downtime is not None and not downtime.is_shown and now >= downtime.due:
                downtime.is_shown = True
                batch.add(StatesKnownChanged(name, downtime.since))

    def record_time(self, now: float, batch: ChangeBatch) -> None:
        """Record, about once a second, that nothing was missed until now."""
        for name, coverage in self._connections.items():
            if (
                coverage.is_up
                and coverage.is_listed
                and abs(now - coverage.observed_until) >= RECORD_INTERVAL
            ):
                self._record(name, now, batch)

    def _record(self, connection: str, moment: float, batch: ChangeBatch) -> None:
        coverage = self._connections[connection]
        # Domains that existed before the first listing are not new; observation begins with that listing.
        if coverage.is_listed or coverage.observed_until:
            coverage.observed_until = batch.observed_until[connection] = moment
            coverage.steady = self._clock_monitor.steady() if self._clock_monitor is not None else None

    def _begin_downtime(self, connection: str, at: float) -> None:
        coverage = self._connections[connection]
        if coverage.downtime is None:
            coverage.downtime = _Downtime(at, self._grace.monotonic() + self._grace.seconds)


class ObservationGaps:
    """The observation gaps of each connection, and which domains are certain again after them."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._gap_until: dict[str, int] = {}
        """By connection: the order up to which events may have been missed."""
        self._listed: dict[str, Certainty] = {}
        """By connection: from when on its domains are completely known."""

    def open_gap(self, connection: str, order: int) -> None:
        """Record that events of the connection may have been missed up to ``order``."""
        self._gap_until[connection] = max(order, self._gap_until.get(connection, 0))

    def record_event(self, record: DomainRecord, order: int) -> None:
        """Record an event that determines the state of a domain; ``order``: of its arrival."""
        if order > self._gap_until.get(record.connection, 0):
            record.certain_since = order, -math.inf

    def record_answer(self, record: DomainRecord, began: int, at: float) -> None:
        """Record an answer that agrees with what is known; ``began``: the order of the request."""
        if began > self._gap_until.get(record.connection, 0) > record.certain_since[0]:
            record.certain_since = began, at

    def record_listing(self, connection: str, began: int, at: float) -> None:
        """Record a complete listing; ``began``: the order of the request."""
        if began > self._gap_until.get(connection, 0) > self._listed.get(connection, NEVER)[0]:
            self._listed[connection] = began, at

    def record_adopted(self, record: DomainRecord) -> None:
        """Record that a domain was taken over as it was found."""
        record.certain_since = self._gap_until.get(record.connection, 0), -math.inf

    def may_have_missed(self, record: DomainRecord, at: float) -> bool:
        """Return whether something may have been missed before an event of that time; Unix time, seconds."""
        order, since = record.certain_since
        return self._gap_until.get(record.connection, 0) > order or at <= since + SETTLING_TIME

    def may_have_missed_domains(self, connection: str, at: float) -> bool:
        """Return whether domains may exist that were never listed; ``at``: Unix time, seconds."""
        order, since = self._listed.get(connection, NEVER)
        return self._gap_until.get(connection, 0) > order or at <= since + SETTLING_TIME

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        for connection, (order, since) in self._listed.items():
            self._listed[connection] = order, since + jump
        for record in self._records:
            order, since = record.certain_since
            record.certain_since = order, since + jump
