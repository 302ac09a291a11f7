"""All series of domains and connections: counting and rendering.

Decides nothing: the engine decides which names have series (``engine.series_limit``), and a change says
under which name it is counted. The series of a domain are created together and removed together.

Threads: the worker writes, scrapes read; a lock protects both.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
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
    IncidentRestored,
    IncidentShifted,
    InventoryChanged,
    RawEventCounted,
    Reconnected,
    SeriesExpired,
    StatesKnownChanged,
    TracedTransition,
    TransitionCounted,
    UnobservedTimeAdded,
)
from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, Name, SavedState, TotalKey
from libvirt_lifecycle_exporter.metrics.connection_series import ConnectionSeries
from libvirt_lifecycle_exporter.metrics.domain_series import (
    EVENTS_WITH_EXEMPLARS,
    Counted,
    DomainSeries,
    Pair,
)
from libvirt_lifecycle_exporter.metrics.exposition import render
from libvirt_lifecycle_exporter.metrics.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES, EVENTS
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition


class MetricsStore:
    """The series about domains and connections."""

    def __init__(self, connections: tuple[str, ...], signals: tuple[str, ...] = ()) -> None:
        """``signals``: the hang signals that are enabled."""
        self._lock = threading.Lock()
        self._signals = signals
        self._connections = {name: ConnectionSeries(name) for name in connections}
        self._domains: dict[Name, DomainSeries] = {}
        self._unobserved: dict[str, float] = {}
        """Connections whose domains are in an unknown state, and since when; Unix time, seconds."""
        self._series = 0

    @property
    def series(self) -> int:
        """The number of series about domains."""
        return self._series

    def apply(self, change: Change) -> None:
        """Take in a change that the journal has written."""
        _APPLY[type(change)](self, change)

    def count(self, change: Transition, counted_as: str) -> None:
        """Count a transition under a name."""
        pair = (change.event, change.reason)
        with self._lock:
            self._connections[change.connection].add("event", pair)
            domain = self._domain(change.connection, counted_as)
            if not domain.increment(pair, change.at):
                with self._tracking_series(domain):
                    domain.add_pair(pair, change.at)

    def set_exemplar(self, traced: TracedTransition) -> None:
        """Set the exemplar of a counted transition."""
        change = traced.change
        with self._lock:
            # The name that it was counted under: its own, or _other because of the limit.
            for name in (change.name, OTHER):
                domain = self._domains.get((change.connection, name))
                if domain is not None and domain.set_exemplar(traced):
                    return

    def count_raw_event(self, connection: str, event: str, detail: str) -> None:
        """Count an event under libvirt's own names."""
        with self._lock:
            self._connections[connection].add("raw", (event, detail))

    def total(self, connection: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many transitions of these pairs were counted on a connection."""
        with self._lock:
            return sum(self._connections[connection].total("event", pair) for pair in pairs)

    def restore(self, state: SavedState, own_names: Container[Name]) -> None:
        """Load the counters from before a restart; ``own_names``: those not under ``_other``."""
        counts: dict[Name, dict[Pair, Counted]] = defaultdict(dict)
        for (connection, name, event, reason), counted in state.counts.items():
            counts[connection, name][event, reason] = counted
        with self._lock:
            for (connection, name), of_name in counts.items():
                domain = self._domain(connection, name if (connection, name) in own_names else OTHER)
                with self._tracking_series(domain):
                    domain.restore(of_name)
            for (connection, kind, key, reason), total in state.totals.items():
                self._connections[connection].restore(kind, (key, reason), total)
            for connection, host in state.hosts.items():
                self._connections[connection].set_host_reboot(host.rebooted_at)

    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]:
        """Return all counters."""
        with self._lock:
            counts = {
                (*name, *pair): counted
                for name, domain in self._domains.items()
                for pair, counted in domain.counted().items()
            }
            totals = {
                (connection, *key): total
                for connection, series in self._connections.items()
                for key, total in series.totals().items()
            }
        return counts, totals

    def open_incident(self, incident: Incident, counted_as: str, more: int = 1) -> None:
        """Record an open incident. ``more``: by how much the counter grows; 0: it is counted already."""
        with self._lock:
            domain = self._domain(incident.connection, counted_as)
            with self._tracking_series(domain):
                domain.open_incident(incident, more)

    def close_incident(self, incident: Incident) -> None:
        """Record a closed incident."""
        with self._lock:
            # The name that it was counted under: its own, or _other because of the limit.
            for name in (incident.name, OTHER):
                domain = self._domains.get((incident.connection, name))
                if domain is not None:
                    domain.close_incident(incident)

    def observe_duration(self, duration: Duration) -> None:
        """Observe the duration of an operation."""
        with self._lock:
            self._connections[duration.connection].observe_duration(duration)

    def count_reconnect(self, connection: str) -> None:
        """Count a reconnect."""
        with self._lock:
            self._connections[connection].add("reconnect")

    def count_host_reboot(self, connection: str, at: float) -> None:
        """Count a reboot of the host. ``at``: when it was found; Unix time, seconds."""
        with self._lock:
            series = self._connections[connection]
            series.add("host_reboot")
            series.set_host_reboot(at)

    def add_unobserved_time(self, connection: str, seconds: float) -> None:
        """Add time in which events may have been missed; seconds."""
        with self._lock:
            self._connections[connection].add("unobserved", more=seconds)

    def count_inventory_change(self, connection: str, change: InventoryChange) -> None:
        """Count a change of the inventory."""
        with self._lock:
            self._connections[connection].add("inventory", (change.change, change.reason))

    def set_connection(self, connection: str, *, up: bool) -> None:
        """Set whether a connection is up."""
        with self._lock:
            self._connections[connection].set_up(up)

    def set_states_unknown(self, connection: str, since: float | None) -> None:
        """Set the states of a connection's domains to unknown since then; None: to the last known states."""
        with self._lock:
            if since is None:
                self._unobserved.pop(connection, None)
            else:
                self._unobserved[connection] = since
            for (of_connection, _), domain in self._domains.items():
                if of_connection == connection:
                    domain.set_states_unknown(since)

    def show(self, connection: str, name: str, values: DomainValues | None) -> None:
        """Set which domain is exported under a name; None: none."""
        with self._lock:
            domain = self._domain(connection, name)
            with self._tracking_series(domain):
                domain.show(values)

    def expire(self, connection: str, name: str) -> None:
        """Remove the series of a name."""
        with self._lock:
            domain = self._domains.pop((connection, name), None)
            if domain is not None:
                self._series -= domain.series

    def render(self, *, openmetrics: bool) -> str:
        """Render everything in one of the two formats (without OpenMetrics' EOF)."""
        with self._lock:
            exemplified = {DOMAIN_FAMILIES.index(EVENTS): EVENTS_WITH_EXEMPLARS} if openmetrics else {}
            domains = self._domains.values()
            parts = render(DOMAIN_FAMILIES, domains, openmetrics=openmetrics, replacements=exemplified)
            parts += render(CONNECTION_FAMILIES, self._connections.values(), openmetrics=openmetrics)
        return "".join(parts)

    def _domain(self, connection: str, name: str) -> DomainSeries:
        """Return the series of a name; create them if there are none."""
        domain = self._domains.get((connection, name))
        if domain is None:
            domain = DomainSeries(connection, name, signals=self._signals, is_own=name != OTHER)
            domain.set_states_unknown(self._unobserved.get(connection))
            self._domains[connection, name] = domain
            self._series += domain.series
        return domain

    @contextmanager
    def _tracking_series(self, domain: DomainSeries) -> Iterator[None]:
        """Count the series that are created or removed in this block."""
        before = domain.series
        yield
        self._series += domain.series - before


def _rename_incident(store: MetricsStore, change: IncidentRenamed) -> None:
    store.close_incident(change.old)
    store.open_incident(change.new, change.counted_as, more=0)


_APPLY: Mapping[type, Callable[[MetricsStore, Any], None]] = MappingProxyType(
    {
        TransitionCounted: lambda store, change: store.count(*change),
        RawEventCounted: lambda store, change: store.count_raw_event(*change),
        DomainUpdated: lambda store, change: store.show(*change),
        SeriesExpired: lambda store, change: store.expire(*change),
        IncidentOpened: lambda store, change: store.open_incident(*change),
        IncidentRestored: lambda store, change: store.open_incident(change.incident, change.counted_as, 0),
        IncidentClosed: lambda store, change: store.close_incident(change.incident),
        IncidentRenamed: _rename_incident,
        IncidentShifted: lambda _store, _change: None,
        DurationObserved: lambda store, change: store.observe_duration(change.duration),
        InventoryChanged: lambda store, change: store.count_inventory_change(*change),
        ConnectionChanged: lambda store, change: store.set_connection(change.connection, up=change.is_up),
        Reconnected: lambda store, change: store.count_reconnect(change.connection),
        UnobservedTimeAdded: lambda store, change: store.add_unobserved_time(*change),
        StatesKnownChanged: lambda store, change: store.set_states_unknown(*change),
        HostRebooted: lambda store, change: store.count_host_reboot(*change),
    }
)
"""Change -> what it changes in the store."""
