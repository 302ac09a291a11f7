"""All series of domains and connections: creation, limit, expiry and rendering.

Invariants: the series of a domain are created together and removed together. What exceeds the limit is
counted under ``domain="_other"`` and never lost. ``place`` decides the name that a transition is counted
under before the journal is written, so the counters are the same after a restart.

Threads: the worker writes, scrapes read; a lock protects both.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import (
    Change,
    ConnectionChanged,
    DomainUpdated,
    DurationObserved,
    HostRebooted,
    IncidentClosed,
    IncidentOpened,
    IncidentRenamed,
    IncidentShifted,
    InventoryChanged,
    NameReleased,
    ObservationChanged,
    RawEventCounted,
    Reconnected,
    TracedTransition,
    TransitionCounted,
    UnobservedTimeAdded,
)
from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, Name, SavedState, TotalKey
from libvirt_lifecycle_exporter.metrics.connection_series import ConnectionSeries
from libvirt_lifecycle_exporter.metrics.domain_series import EXEMPLIFIED, Counted, DomainSeries, Pair
from libvirt_lifecycle_exporter.metrics.exposition import render
from libvirt_lifecycle_exporter.metrics.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES, EVENTS
from libvirt_lifecycle_exporter.metrics.series_budget import SeriesBudget
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition


class MetricsStore:
    """The series about domains and connections."""

    def __init__(
        self,
        connections: tuple[str, ...],
        *,
        series_limit: int,
        series_ttl: float,
        signals: tuple[str, ...] = (),
    ) -> None:
        """``series_limit``: the most series about domains. ``series_ttl``: seconds for which the series of a
        removed domain stay. ``signals``: the hang signals that are enabled.
        """
        self._lock = threading.Lock()
        self._signals = signals
        self._room = SeriesBudget(series_limit, signals)
        self._ttl = series_ttl
        self._connections = {name: ConnectionSeries(name) for name in connections}
        self._pages: dict[Name, DomainSeries] = {}
        self._unobserved: dict[str, float] = {}
        """Connections whose domains are in an unknown state, and since when; Unix time, seconds."""
        self._now = 0.0
        """The newest time that ``expire`` was called with."""

    @property
    def series(self) -> int:
        """The number of series about domains."""
        return self._room.series

    @property
    def series_limited(self) -> int:
        """The number of domains and pairs that got no series of their own because of the limit."""
        return self._room.limited

    def admit(self, connection: str, name: str) -> str:
        """Reserve series for a domain; return the name that it is counted under: its own, or ``_other``."""
        if (connection, name) in self._pages:  # only this thread writes, so no lock is needed
            return name
        with self._lock:
            return OTHER if self._admit(connection, name) is None else name

    def place(self, change: Transition) -> str:
        """Reserve series for a transition; return the name that it is counted under."""
        page = self._pages.get((change.connection, change.name))
        if page is not None and (change.event, change.reason) in page.last:
            return change.name
        with self._lock:
            return self._place(change)

    def apply(self, change: Change) -> None:
        """Take in a change that the journal has written."""
        _APPLY[type(change)](self, change)

    def count(self, change: Transition, place: str = "") -> None:
        """Count a transition. ``place``: the name that ``place`` returned for it."""
        pair = (change.event, change.reason)
        with self._lock:
            self._connections[change.connection].add("event", pair)
            page = self._page(change.connection, place or self._place(change))
            if not page.again(pair, change.at):
                self._room.keep(page, pair)
                with self._room.growing(page):
                    page.first(pair, change.at)

    def exemplify(self, traced: TracedTransition) -> None:
        """Set the exemplar of a counted transition."""
        change = traced.change
        with self._lock:
            # The name that it was counted under: its own, or _other because of the limit.
            for name in (change.name, OTHER):
                page = self._pages.get((change.connection, name))
                if page is not None and page.exemplify(traced):
                    return

    def raw(self, connection: str, event: str, detail: str) -> None:
        """Count an event under libvirt's own names."""
        with self._lock:
            self._connections[connection].add("raw", (event, detail))

    def total(self, connection: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many transitions of these pairs were counted on a connection."""
        with self._lock:
            return sum(self._connections[connection].total("event", pair) for pair in pairs)

    def restore(self, memory: SavedState, now: float) -> None:
        """Load the counters from before a restart. Names that no domain has expire in time."""
        counts: dict[Name, dict[Pair, Counted]] = defaultdict(dict)
        for (connection, name, event, reason), counted in memory.counts.items():
            counts[connection, name][event, reason] = counted
        with self._lock:
            self._room.folded |= memory.folded
            bearers = {
                (domain.connection, domain.name): domain.values()
                for domain in sorted(memory.domains, key=lambda domain: domain.present)
            }
            # Domains without series of their own come last: they had none before the restart either.
            own = [*counts, *(key for key in bearers if key not in counts and key not in memory.folded)]
            for key in own:
                if key[1] != OTHER and self._comes_back(key, counts.get(key, {}), bearers.get(key), now):
                    counts.pop(key, None)
            for (connection, _), rest in counts.items():
                page = self._page(connection, OTHER)
                with self._room.growing(page):
                    page.restore(rest)
            for (connection, kind, what, reason), total in memory.totals.items():
                self._connections[connection].restore(kind, (what, reason), total)
            for connection, host in memory.hosts.items():
                self._connections[connection].set_host_reboot(host.rebooted_at)

    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]:
        """Return all counters."""
        with self._lock:
            counts = {
                (*name, *pair): counted
                for name, page in self._pages.items()
                for pair, counted in page.counted().items()
            }
            totals = {
                (connection, *key): total
                for connection, page in self._connections.items()
                for key, total in page.totals().items()
            }
        return counts, totals

    def folded(self) -> frozenset[Name]:
        """Return the domains that have no series of their own."""
        return frozenset(self._room.folded)

    def folded_lately(self) -> dict[Name, bool]:
        """Return the domains that lost their series (True) or got some (False) since the last call."""
        return self._room.folded_lately()

    def incident(self, incident: Incident, place: str = "", more: int = 1) -> None:
        """Record an opened or closed incident. ``more``: by how much an opened one increases the counter."""
        with self._lock:
            if incident.closed_at is None:
                page = self._page(incident.connection, place or incident.name)
                with self._room.growing(page):
                    page.opens(incident, more)
                if page.is_own:
                    self._room.reserve(page)
                return
            for name in (incident.name, OTHER):
                found = self._pages.get((incident.connection, name))
                if found is not None:
                    found.closes(incident)

    def took(self, duration: Duration) -> None:
        """Observe the duration of an operation."""
        with self._lock:
            self._connections[duration.connection].took(duration)

    def reconnect(self, connection: str) -> None:
        """Count a reconnect."""
        with self._lock:
            self._connections[connection].add("reconnect")

    def host_rebooted(self, connection: str, at: float) -> None:
        """Count a reboot of the host. ``at``: when it was found; Unix time, seconds."""
        with self._lock:
            page = self._connections[connection]
            page.add("host_reboot")
            page.set_host_reboot(at)

    def blind(self, connection: str, seconds: float) -> None:
        """Add time in which events may have been missed; seconds."""
        with self._lock:
            self._connections[connection].add("unobserved", more=seconds)

    def note(self, connection: str, change: InventoryChange) -> None:
        """Count a change of the inventory."""
        with self._lock:
            self._connections[connection].add("inventory", (change.change, change.reason))

    def link(self, connection: str, *, up: bool) -> None:
        """Set whether a connection is up."""
        with self._lock:
            self._connections[connection].link(up=up)

    def set_unobserved(self, connection: str, since: float | None) -> None:
        """Set the states of a connection's domains to unknown since then; None: to the last known states."""
        with self._lock:
            if since is None:
                self._unobserved.pop(connection, None)
            else:
                self._unobserved[connection] = since
            for (where, _), page in self._pages.items():
                if where == connection:
                    page.set_unobserved(since)

    def show(self, domain: DomainValues) -> None:
        """Set what is exported of a domain. The series of a removed domain begin to expire."""
        key = (domain.connection, domain.name)
        with self._lock:
            page = self._admit(*key) if domain.present else self._pages.get(key)
            if page is not None:
                with self._changing(page, domain.removed_at):
                    page.show(domain)

    def retire(self, connection: str, name: str, uuid: str, at: float) -> None:
        """Remove a domain from a name that it no longer has. The series of the name begin to expire."""
        with self._lock:
            self._room.fold((connection, name), is_folded=False)
            page = self._pages.get((connection, name))
            if page is not None:
                with self._changing(page, at):
                    page.withdraw(uuid)

    def forget(self, connection: str, name: str) -> None:
        """Forget a domain that was removed long ago."""
        with self._lock:
            self._room.fold((connection, name), is_folded=False)

    def shift(self, jump: float) -> None:
        """Adjust expiry to a jump of the wall clock, in seconds."""
        with self._lock:
            self._now += jump
            for page in self._pages.values():
                if page.expires is not None:
                    page.expires += jump

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Remove the expired series; return their (connection, name). ``now``: Unix time, seconds."""
        with self._lock:
            self._now = now
            over = [
                key for key, page in self._pages.items() if page.expires is not None and page.expires <= now
            ]
            for key in over:
                self._room.leave(key, self._pages.pop(key))
        return over

    def render(self, *, openmetrics: bool) -> str:
        """Render everything in one of the two formats (without OpenMetrics' EOF)."""
        with self._lock:
            exemplified = {DOMAIN_FAMILIES.index(EVENTS): EXEMPLIFIED} if openmetrics else {}
            pages = self._pages.values()
            parts = render(DOMAIN_FAMILIES, pages, openmetrics=openmetrics, instead=exemplified)
            parts += render(CONNECTION_FAMILIES, self._connections.values(), openmetrics=openmetrics)
        return "".join(parts)

    def _page(self, connection: str, name: str) -> DomainSeries:
        """Return the series of a name; create them if there are none."""
        page = self._pages.get((connection, name))
        if page is None:
            page = self._pages[connection, name] = self._new_page(connection, name)
            self._room.series += page.series
        return page

    def _new_page(self, connection: str, name: str) -> DomainSeries:
        page = DomainSeries(connection, name, signals=self._signals, is_own=name != OTHER)
        page.set_unobserved(self._unobserved.get(connection))
        return page

    def _admit(self, connection: str, name: str) -> DomainSeries | None:
        """Return the series of a domain; create them if the limit allows."""
        page = self._pages.get((connection, name))
        if page is None and self._room.admits((connection, name)):
            page = self._page(connection, name)
            self._room.reserve(page)
        return page

    def _place(self, change: Transition) -> str:
        page = self._admit(change.connection, change.name)
        name, pair = (change.connection, change.name), (change.event, change.reason)
        return OTHER if page is None or not self._room.takes(name, page, pair) else change.name

    def _comes_back(
        self, name: Name, counts: dict[Pair, Counted], domain: DomainValues | None, now: float
    ) -> bool:
        """Create the series of a domain as before a restart; return whether the limit allows it."""
        page = self._new_page(*name)
        page.restore(counts)
        if domain is not None:
            page.show(domain)
        if not self._room.takes_back(page):
            return False
        self._room.reserve(page)
        page.expires = now + self._ttl
        self._pages[name] = page
        return True

    @contextmanager
    def _changing(self, page: DomainSeries, at: float) -> Iterator[None]:
        """Update the number of series around a change; the series expire if no domain has their name.

        ``at``: when the domain left the name; Unix time, seconds.
        """
        before = page.facts
        yield
        if page.facts != before:
            self._room.series += page.facts - before
            self._room.reserve(page)
        if page.is_taken:
            page.expires = None
        elif page.expires is None:
            # max(): the time stamp may be from right before a jump of the wall clock.
            page.expires = max(at, self._now) + self._ttl


def _rename_incident(store: MetricsStore, change: IncidentRenamed) -> None:
    store.incident(change.old._replace(closed_at=change.at))
    store.incident(change.new, change.counted_as, more=0)


_APPLY: Mapping[type, Callable[[MetricsStore, Any], None]] = MappingProxyType(
    {
        TransitionCounted: lambda store, change: store.count(*change),
        RawEventCounted: lambda store, change: store.raw(*change),
        DomainUpdated: lambda store, change: store.show(change.values),
        NameReleased: lambda store, change: store.retire(*change),
        IncidentOpened: lambda store, change: store.incident(*change),
        IncidentClosed: lambda store, change: store.incident(change.incident),
        IncidentRenamed: _rename_incident,
        IncidentShifted: lambda _store, _change: None,
        DurationObserved: lambda store, change: store.took(change.duration),
        InventoryChanged: lambda store, change: store.note(*change),
        ConnectionChanged: lambda store, change: store.link(change.connection, up=change.is_up),
        Reconnected: lambda store, change: store.reconnect(change.connection),
        UnobservedTimeAdded: lambda store, change: store.blind(*change),
        ObservationChanged: lambda store, change: store.set_unobserved(*change),
        HostRebooted: lambda store, change: store.host_rebooted(*change),
    }
)
"""Change -> what it changes in the store."""
