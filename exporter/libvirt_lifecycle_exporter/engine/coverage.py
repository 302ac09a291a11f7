"""Coverage: until when each connection was observed without a gap, and how long it was not observed.

Invariant: unobserved time is counted once, from the last moment without a gap to the registration of the
callbacks, whether the connection or the exporter was down.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.changes import (
    ChangeBatch,
    ConnectionChanged,
    ObservationChanged,
    Reconnected,
    UnobservedTimeAdded,
)
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor

NOTED = 1.0
"""Seconds between two records of until when a connection was observed."""
LAG: Final = 5.0
"""Seconds by which the steady clock may differ from time stamps taken before a message was queued."""
LONGEST_UNPROVEN: Final = 7 * 86_400.0
"""The most unobserved seconds that the wall clock alone can prove, across a reboot of the host."""


class Grace(NamedTuple):
    """How long a connection may be down before the states of its domains are unknown."""

    seconds: float = 30.0
    """Long enough for a restart of the daemon."""
    monotonic: Callable[[], float] = time.monotonic


GRACE: Final = Grace()


@dataclass(slots=True)
class _Gap:
    """The time between the loss of a connection and its next complete listing."""

    since: float
    """Unix time, seconds."""
    due: float
    """When the states become unknown; monotonic, seconds."""
    is_shown: bool = False


@dataclass(slots=True)
class _Watch:
    up: bool = False
    lost: bool = False
    """Whether it was up and is being reopened."""
    listed: bool = False
    """Whether this process has listed it."""
    until: float = 0.0
    """Until when nothing was missed; Unix time, seconds; 0: it was never observed."""
    gap: _Gap | None = None
    """The current gap, if its domains were observed before."""
    steady: float | None = None
    """The steady clock at that time; None: on another boot of the host, or not known."""


class Coverage:
    """The coverage of all connections."""

    def __init__(
        self,
        connections: Iterable[str],
        grace: Grace = GRACE,
        monitor: ClockMonitor | None = None,
    ) -> None:
        """``monitor``: detects jumps of the wall clock; None: the wall clock is trusted."""
        self._grace = grace
        self._monitor = monitor
        self._coverage = {name: _Watch() for name in connections}

    def names(self) -> frozenset[str]:
        """Return the names of the connections."""
        return frozenset(self._coverage)

    def ready(self) -> bool:
        """Return whether at least one connection has been listed completely."""
        return any(watch.listed for watch in self._coverage.values())

    def down(self) -> list[str]:
        """Return the names of the connections that are down."""
        return [name for name, watch in self._coverage.items() if not watch.up]

    def restore(self, until: Mapping[str, float]) -> None:
        """Load until when each connection was observed before a restart."""
        for name, moment in until.items():
            watch = self._coverage[name]
            watch.until = moment
            watch.steady = self._monitor.steady_of(moment) if self._monitor is not None else None
            self._open_gap(name, moment)

    def until(self) -> dict[str, float]:
        """Return until when each connection was observed; Unix time, seconds."""
        return {name: watch.until for name, watch in self._coverage.items() if watch.until}

    def listed(self, connection: str, at: float, batch: ChangeBatch) -> None:
        """Record a complete listing. ``at``: Unix time, seconds."""
        watch = self._coverage[connection]
        watch.listed = True
        # An answer of a connection that is lost meanwhile says nothing about the time since.
        if watch.up or not watch.until:
            self._note(connection, at, batch)
        if watch.up and watch.gap is not None:
            if watch.gap.is_shown:
                batch.add(ObservationChanged(connection, None))
            watch.gap = None

    def found(self, link: ConnectionUp, batch: ChangeBatch) -> None:
        """Record that a connection is open and its callbacks are registered."""
        watch = self._coverage[link.connection]
        if watch.lost:
            batch.add(Reconnected(link.connection))
        watch.up, watch.lost = True, False
        if watch.until:
            blind = self._blind(watch, link.at)
            batch.add(UnobservedTimeAdded(link.connection, blind))
        self._note(link.connection, link.at, batch)
        batch.add(ConnectionChanged(link.connection, is_up=True))

    def shift(self, jump: float, batch: ChangeBatch) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for name, watch in self._coverage.items():
            if watch.until:
                watch.until += jump
                batch.watched_until[name] = watch.until

    def _blind(self, watch: _Watch, at: float) -> float:
        """Return the seconds until ``at`` in which events may have been missed."""
        blind = max(0.0, at - watch.until)
        if self._monitor is None:
            return blind
        if watch.steady is None:
            return min(blind, LONGEST_UNPROVEN)
        elapsed = self._monitor.steady() - watch.steady
        return blind if abs(blind - elapsed) <= LAG else elapsed

    def lost(self, link: ConnectionDown, batch: ChangeBatch) -> None:
        """Record that a connection was lost or could not be opened."""
        watch = self._coverage[link.connection]
        if watch.up:
            self._note(link.connection, link.at, batch)
            self._open_gap(link.connection, link.at)
            watch.lost = True
        watch.up = False
        batch.add(ConnectionChanged(link.connection, is_up=False))

    def show_unknown(self, batch: ChangeBatch) -> None:
        """Make the states of domains unknown if their connection has been down for too long."""
        now = self._grace.monotonic()
        for name, watch in self._coverage.items():
            gap = watch.gap
            if gap is not None and not gap.is_shown and now >= gap.due:
                gap.is_shown = True
                batch.add(ObservationChanged(name, gap.since))

    def note(self, now: float, batch: ChangeBatch) -> None:
        """Record, about once a second, that nothing was missed until now."""
        for name, watch in self._coverage.items():
            if watch.up and watch.listed and abs(now - watch.until) >= NOTED:
                self._note(name, now, batch)

    def _note(self, connection: str, moment: float, batch: ChangeBatch) -> None:
        watch = self._coverage[connection]
        # Domains that existed before the first listing are not new; observation begins with that listing.
        if watch.listed or watch.until:
            watch.until = batch.watched_until[connection] = moment
            watch.steady = self._monitor.steady() if self._monitor is not None else None

    def _open_gap(self, connection: str, at: float) -> None:
        watch = self._coverage[connection]
        if watch.gap is None:
            watch.gap = _Gap(at, self._grace.monotonic() + self._grace.seconds)
