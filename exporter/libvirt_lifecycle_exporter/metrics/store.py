"""All series of domains and connections: counting and rendering.

Decides nothing: the engine decides which names have series (``engine.series_limit``), and a change says
under which name it is counted. The series of a domain are created together and removed together.

Threads: the worker writes, scrapes read; a lock protects both.
"""

import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import (
    Change,
    ChangeBatch,
    ConnectionChanged,
    DomainUpdated,
    HostRebooted,
    IncidentClosed,
    IncidentOpened,
    IncidentRenamed,
    IncidentRestored,
    IncidentShifted,
    StatesKnownChanged,
    TracedTransition,
)
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, Name, SavedState, TotalKey
from libvirt_lifecycle_exporter.metrics.connection_series import ConnectionSeries
from libvirt_lifecycle_exporter.metrics.deflate import Deflated, DeflatedGroups, deflate_header
from libvirt_lifecycle_exporter.metrics.domain_series import (
    EVENTS_WITH_EXEMPLARS,
    Counted,
    DomainSeries,
    Pair,
)
from libvirt_lifecycle_exporter.metrics.exposition import Column, columns, render
from libvirt_lifecycle_exporter.metrics.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES, EVENTS
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Incident


class MetricsStore:
    """The series about domains and connections."""

    def __init__(
        self, connections: tuple[str, ...], signals: tuple[str, ...] = (), *, has_state_set: bool = False
    ) -> None:
        """``signals``: the hang signals that are enabled.

        ``has_state_set``: whether every state of a domain has a series, or the current state only.
        """
        self._lock = threading.Lock()
        self._signals = signals
        self._has_state_set = has_state_set
        self._connections = {name: ConnectionSeries(name) for name in connections}
        self._domains: dict[Name, DomainSeries] = {}
        self._unobserved: dict[str, float] = {}
        """Connections whose domains are in an unknown state, and since when; Unix time, seconds."""
        self._series = 0
        self._domain_groups = DeflatedGroups(len(DOMAIN_FAMILIES) + 1)
        self._connection_groups = DeflatedGroups(len(CONNECTION_FAMILIES))
        self._deflated: dict[bool, Deflated] = {}
        """The compressed page, by whether it is OpenMetrics, while nothing changes."""
        self._appliers: Mapping[type, Callable[[Any], None]] = {
            DomainUpdated: self._show,
            IncidentOpened: self._open_incident,
            IncidentRestored: self._open_incident,
            IncidentClosed: lambda change: self._close_incident(change.incident),
            IncidentRenamed: self._rename_incident,
            IncidentShifted: lambda _change: None,
            ConnectionChanged: self._set_connection,
            StatesKnownChanged: self._set_states_unknown,
            HostRebooted: self._set_host_reboot,
        }

    @property
    def series(self) -> int:
        """The number of series about domains."""
        return self._series

    def apply(self, batch: ChangeBatch, on_error: Callable[[Exception], None]) -> None:
        """Apply a batch that the journal has written. A scrape sees all of it, or nothing.

        ``on_error``: called with the exception of an item that cannot be applied; the others are applied.
        """
        parts: tuple[tuple[Callable[[Any], None], Iterable[Any]], ...] = (
            (self._expire, batch.expired),
            (self._count, batch.counts.items()),
            (self._add_total, batch.totals.items()),
            (self._apply_change, batch.changes),
            (self._set_exemplar, batch.traced),
        )
        with self._lock:
            for apply_item, items in parts:
                for item in items:
                    try:
                        apply_item(item)
                    except Exception as error:  # noqa: BLE001 - reported; one item does not stop the others
                        on_error(error)

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

    def render(self, *, openmetrics: bool) -> str:
        """Render everything in one of the two formats (without OpenMetrics' EOF)."""
        with self._lock:
            return render(chain(*self._columns(openmetrics=openmetrics)), openmetrics=openmetrics)

    def deflate(self, *, openmetrics: bool) -> Deflated:
        """Return what ``render`` returns, compressed; what has not changed is not compressed again."""
        with self._lock:
            groups = (self._domain_groups, self._connection_groups)
            has_changed = [
                self._domain_groups.update([*self._domains.values()]),
                self._connection_groups.update([*self._connections.values()]),
            ]
            if any(has_changed):
                self._deflated.clear()
            if openmetrics not in self._deflated:
                found = self._columns(openmetrics=openmetrics)
                text = render(chain(*found), openmetrics=openmetrics).encode()
                parts = [
                    part
                    for group, of_kind in zip(groups, found, strict=True)
                    for column in of_kind
                    for part in (
                        deflate_header(column.family.header(openmetrics=openmetrics)),
                        *group.parts(column.place, column.texts),
                    )
                ]
                self._deflated[openmetrics] = Deflated(b"".join(parts), zlib.crc32(text), len(text))
            return self._deflated[openmetrics]

    def _columns(self, *, openmetrics: bool) -> tuple[list[Column], list[Column]]:
        """Return the columns of the domains and of the connections."""
        exemplified = {DOMAIN_FAMILIES.index(EVENTS): EVENTS_WITH_EXEMPLARS} if openmetrics else {}
        return (
            columns(DOMAIN_FAMILIES, self._domains.values(), exemplified),
            columns(CONNECTION_FAMILIES, self._connections.values()),
        )

    def _expire(self, name: Name) -> None:
        """Remove the series of a name."""
        domain = self._domains.pop(name, None)
        if domain is not None:
            self._series -= domain.series

    def _count(self, counted: tuple[CountKey, Counted]) -> None:
        (connection, name, event, reason), (amount, at) = counted
        domain = self._domains.get((connection, name)) or self._domain(connection, name)
        if not domain.increase((event, reason), amount, at):
            with self._tracking_series(domain):
                domain.add_counter((event, reason), amount, at)

    def _add_total(self, total: tuple[TotalKey, float]) -> None:
        (connection, kind, label_1, label_2), amount = total
        self._connections[connection].add(kind, (label_1, label_2), amount)

    def _apply_change(self, change: Change) -> None:
        self._appliers[type(change)](change)

    def _set_exemplar(self, traced: TracedTransition) -> None:
        # The name that it was counted under: its own, or _other because of the limit.
        for name in (traced.change.name, OTHER):
            domain = self._domains.get((traced.change.connection, name))
            if domain is not None and domain.set_exemplar(traced):
                return

    def _show(self, change: DomainUpdated) -> None:
        domain = self._domain(change.connection, change.name)
        before = domain.state_series
        domain.show(change.values)
        self._series += domain.state_series - before

    def _open_incident(self, change: IncidentOpened | IncidentRestored) -> None:
        domain = self._domain(change.incident.connection, change.counted_as)
        with self._tracking_series(domain):
            domain.open_incident(change.incident)

    def _close_incident(self, incident: Incident) -> None:
        # The name that it was counted under: its own, or _other because of the limit.
        for name in (incident.name, OTHER):
            domain = self._domains.get((incident.connection, name))
            if domain is not None:
                domain.close_incident(incident)

    def _rename_incident(self, change: IncidentRenamed) -> None:
        self._close_incident(change.old)
        self._open_incident(IncidentRestored(change.new, change.counted_as))

    def _set_states_unknown(self, change: StatesKnownChanged) -> None:
        if change.unknown_since is None:
            self._unobserved.pop(change.connection, None)
        else:
            self._unobserved[change.connection] = change.unknown_since
        for (connection, _), domain in self._domains.items():
            if connection == change.connection:
                domain.set_states_unknown(change.unknown_since)

    def _set_connection(self, change: ConnectionChanged) -> None:
        self._connections[change.connection].set_up(change.is_up)

    def _set_host_reboot(self, change: HostRebooted) -> None:
        self._connections[change.connection].set_host_reboot(change.at)

    def _domain(self, connection: str, name: str) -> DomainSeries:
        """Return the series of a name; create them if there are none."""
        domain = self._domains.get((connection, name))
        if domain is None:
            shown = {"has_state_set": self._has_state_set, "is_own": name != OTHER}
            domain = DomainSeries(connection, name, self._signals, **shown)
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
