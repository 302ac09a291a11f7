"""The Prometheus sink: all series of domains and connections, their birth, limit and end.

Law: a domain's series come together and leave together; what is over the limit is counted under
``domain="_other"``, never lost. Writing (the worker) and reading (scrapes) may overlap.
"""

import threading
from collections.abc import Sequence

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.effects import CountKey, Memory, TotalKey, Traced
from libvirt_lifecycle_exporter.incidents import Incident
from libvirt_lifecycle_exporter.operations import Duration
from libvirt_lifecycle_exporter.sinks.connection_page import ConnectionPage
from libvirt_lifecycle_exporter.sinks.domain_page import EXEMPLIFIED, DomainPage
from libvirt_lifecycle_exporter.sinks.exposition import render
from libvirt_lifecycle_exporter.sinks.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES, EVENTS
from libvirt_lifecycle_exporter.states import STATES
from libvirt_lifecycle_exporter.text import OTHER
from libvirt_lifecycle_exporter.transition import InventoryChange, Transition
from libvirt_lifecycle_exporter.vocabulary import ALERT_PAIRS, INCIDENT_KINDS

_PAGE_SERIES = len(ALERT_PAIRS) + len(STATES) + 4 + 2 * len(INCIDENT_KINDS)
"""Series that a new domain brings; admission asks for this much room."""

_PAIR_SERIES = 2
"""Series that a new (event, reason) of a domain brings: the counter and its newest time."""


class PrometheusSink:
    """Holds what /metrics says about domains and connections."""

    def __init__(self, connections: tuple[str, ...], *, series_limit: int, series_ttl: float) -> None:
        """``series_ttl``: seconds that a removed domain's series stay."""
        self._lock = threading.Lock()
        self._limit = series_limit
        self._ttl = series_ttl
        self._connections = {name: ConnectionPage(name) for name in connections}
        self._domains: dict[tuple[str, str], DomainPage] = {}
        self._others: dict[str, DomainPage] = {}
        self._refused: set[tuple[str, ...]] = set()
        self.series = 0
        """Domain series there are now."""
        self.series_limited = 0
        """Domains and pairs that were refused series of their own."""

    def count(self, change: Transition) -> None:
        """Count a transition."""
        pair = (change.event, change.reason)
        with self._lock:
            self._connections[change.connection].add("event", pair)
            page = self._domains.get((change.connection, change.name))
            if page is None or not page.again(pair, change.at):
                self._count_first(change, pair)

    def exemplify(self, traced: Traced) -> None:
        """Name the span of a transition that was counted."""
        change = traced.change
        with self._lock:
            page = self._domains.get((change.connection, change.name)) or self._others.get(change.connection)
            if page is not None:
                page.exemplify((change.event, change.reason), change.at, traced.trace_id, traced.span_id)

    def raw(self, connection: str, event: str, detail: str) -> None:
        """Count what libvirt sent, in its own words."""
        with self._lock:
            self._connections[connection].add("raw", (event, detail))

    def total(self, connection: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many transitions of these pairs were counted on a connection."""
        with self._lock:
            return sum(self._connections[connection].total("event", pair) for pair in pairs)

    def restore(self, memory: Memory, now: float) -> None:
        """Take over the counters from before a restart; the names nobody bears any more leave in time."""
        with self._lock:
            for (connection, name, *pair), (count, last) in memory.counts.items():
                page = self._admit(connection, name) or self._other(connection)
                before = page.series
                if pair[0] == "incident":
                    page.incident(pair[1], last, is_open=False, more=count)
                else:
                    page.restore((pair[0], pair[1]), count, last)
                page.expires = now + self._ttl
                self.series += page.series - before
            for (connection, kind, what, reason), total in memory.totals.items():
                self._connections[connection].restore(kind, (what, reason), total)

    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]:
        """Return all counters as they are."""
        with self._lock:
            counts = {
                (connection, name, *pair): (page.counts[pair], last)
                for (connection, name), page in self._domains.items()
                for pair, last in page.last.items()
            }
            counts |= {
                (connection, name, "incident", kind): (page.incidents[kind], began)
                for (connection, name), page in self._domains.items()
                for kind, (began, _) in page.opened.items()
            }
            totals = {
                (connection, *key): total
                for connection, page in self._connections.items()
                for key, total in page.totals().items()
            }
        return counts, totals

    def incident(self, incident: Incident, more: int = 1) -> None:
        """Show that an incident was opened or closed; ``more``: how many it is more if it is open."""
        is_open = incident.closed_at is None
        with self._lock:
            page = self._admit(incident.connection, incident.name) or self._other(incident.connection)
            before = page.series
            page.incident(incident.kind, incident.opened_at, is_open=is_open, more=more * is_open)
            self.series += page.series - before

    def took(self, duration: Duration) -> None:
        """Count how long an operation took."""
        with self._lock:
            self._connections[duration.connection].took(duration)

    def reconnect(self, connection: str) -> None:
        """Count that a lost connection was opened again."""
        with self._lock:
            self._connections[connection].add("reconnect")

    def blind(self, connection: str, seconds: float) -> None:
        """Count time in which events could have been missed."""
        with self._lock:
            self._connections[connection].add("unobserved", more=seconds)

    def note(self, connection: str, change: InventoryChange) -> None:
        """Count a change of the inventory."""
        with self._lock:
            self._connections[connection].add("inventory", (change.change, change.reason))

    def link(self, connection: str, *, up: bool) -> None:
        """Show that a connection is up or down."""
        with self._lock:
            self._connections[connection].link(up=up)

    def show(self, domain: Domain) -> None:
        """Show what is known of a domain now; start the end of its series if it is gone."""
        with self._lock:
            if domain.present:
                page = self._admit(domain.connection, domain.name)
            else:
                self._retire(domain.connection, domain.name, domain.uuid, domain.removed_at)
                page = self._domains.get((domain.connection, domain.name))
            if page is None or (not domain.present and page.uuid not in (domain.uuid, "")):
                return
            self.series += page.show(domain)
            if domain.present:
                page.expires = None

    def retire(self, connection: str, name: str, uuid: str, at: float) -> None:
        """Start the end of the series of a name that the domain no longer bears."""
        with self._lock:
            self._retire(connection, name, uuid, at)

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Let the series leave whose time has come; return their (connection, name)."""
        with self._lock:
            over = [
                key for key, page in self._domains.items() if page.expires is not None and page.expires <= now
            ]
            for key in over:
                self.series -= self._domains.pop(key).series
                self._refused = {what for what in self._refused if what[:2] != key}
        return over

    def render(self, *, openmetrics: bool) -> str:
        """Write everything in one of the two formats (without OpenMetrics' EOF)."""
        with self._lock:
            pages = [*self._domains.values(), *self._others.values()]
            exemplified = {DOMAIN_FAMILIES.index(EVENTS): EXEMPLIFIED} if openmetrics else {}
            parts = render(DOMAIN_FAMILIES, pages, openmetrics=openmetrics, instead=exemplified)
            parts += render(CONNECTION_FAMILIES, self._connections.values(), openmetrics=openmetrics)
        return "".join(parts)

    def _admit(self, connection: str, name: str) -> DomainPage | None:
        """Return the page of a domain, a new one if the limit allows."""
        page = self._domains.get((connection, name))
        if page is not None:
            return page
        if self.series + _PAGE_SERIES > self._limit:
            self._refuse(connection, name)
            return None
        page = self._domains[connection, name] = DomainPage(connection, name)
        self.series += page.series
        return page

    def _count_first(self, change: Transition, pair: tuple[str, str]) -> None:
        """Count what has no series yet: in new ones, or under "_other" where the limit forbids."""
        page = self._admit(change.connection, change.name)
        if page is not None and self.series + _PAIR_SERIES > self._limit:
            self._refuse(change.connection, change.name, *pair)
            page = None
        if page is None:
            page = self._other(change.connection)
            if page.again(pair, change.at):
                return
        before = page.series
        page.first(pair, change.at)
        self.series += page.series - before

    def _refuse(self, *what: str) -> None:
        if what not in self._refused:
            self._refused.add(what)
            self.series_limited += 1

    def _other(self, connection: str) -> DomainPage:
        if connection not in self._others:
            self._others[connection] = DomainPage(connection, OTHER, zeros=())
        return self._others[connection]

    def _retire(self, connection: str, name: str, uuid: str, at: float) -> None:
        page = self._domains.get((connection, name))
        if page is not None and page.uuid in (uuid, "") and page.expires is None:
            page.expires = at + self._ttl
