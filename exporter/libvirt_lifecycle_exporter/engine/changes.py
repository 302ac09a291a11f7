"""What processing messages changed: one ``ChangeBatch`` for each batch of messages.

A batch holds transitions, the growth of counters, and changes of what is shown besides counters. The journal
writes it; after the commit, metrics applies the same batch. Nothing is recorded a second time in another
form, so what Prometheus sees and what a restart restores are the same sums.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import Domain, DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import INCIDENT, CountKey, HostRecord, Name, TotalKey
from libvirt_lifecycle_exporter.model.domain_filter import Scope  # noqa: TC001 - one way of importing
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition
from libvirt_lifecycle_exporter.model.vocabulary import raw_detail
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord  # noqa: TC001 - one way of importing


class DomainUpdated(NamedTuple):
    """What is exported under a domain name changed. The name has series of its own."""

    connection: str
    name: str
    values: DomainValues | None
    """None: no domain has the name; its series stay until they expire."""


class IncidentOpened(NamedTuple):
    """An incident was opened; ``ChangeBatch.open_incident`` counts it, too."""

    incident: Incident
    counted_as: str
    """The domain name under which it is counted: its own, or ``_other``."""


class IncidentClosed(NamedTuple):
    incident: Incident


class IncidentRestored(NamedTuple):
    """An incident is open since before a restart. It is counted already."""

    incident: Incident
    counted_as: str


class IncidentRenamed(NamedTuple):
    """The domain of an open incident was renamed. The incident is not counted again."""

    old: Incident
    new: Incident
    counted_as: str
    at: float
    """Unix time, seconds."""


class IncidentShifted(NamedTuple):
    """The wall clock jumped: an open incident began at another time than was recorded."""

    incident: Incident


class ConnectionChanged(NamedTuple):
    """A connection is up or down."""

    connection: str
    is_up: bool


class StatesKnownChanged(NamedTuple):
    """The states of a connection's domains became unknown, or are known again."""

    connection: str
    unknown_since: float | None
    """Unix time, seconds; None: they are known."""


class HostRebooted(NamedTuple):
    """The host of a connection was found to have rebooted."""

    connection: str
    at: float
    """Unix time, seconds."""


Change = (
    DomainUpdated
    | IncidentOpened
    | IncidentClosed
    | IncidentRestored
    | IncidentRenamed
    | IncidentShifted
    | ConnectionChanged
    | StatesKnownChanged
    | HostRebooted
)
"""Everything that metrics shows besides counters."""


class TracedTransition(NamedTuple):
    """A transition, its number in the journal, and the span that it is on."""

    number: int
    change: Transition
    trace_id: str
    span_id: str


class HistoryBatch(NamedTuple):
    """The part of a batch that is written to the history."""

    transitions: Sequence[Transition]
    incidents: Mapping[str, Incident]
    """By id."""
    messages: Sequence[tuple[str, str, float, str]]
    """As in ``ChangeBatch``."""
    forgotten: Sequence[Domain]
    clock_jump: float = 0.0


class ChangeBatch:
    """The changes of one batch of messages; the worker thread fills it."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self.changes: list[Change] = list(changes)
        """What changed besides counters, in order."""
        self.transitions: list[Transition] = []
        self.counts: dict[CountKey, tuple[int, float]] = {}
        """By how much the counters of domains grow, and the newest time; Unix time, seconds."""
        self.totals: dict[TotalKey, float] = defaultdict(float)
        """By how much the totals of connections grow."""
        self.domains: dict[tuple[str, str], Domain] = {}
        """The domains whose row is to be written, by connection and uuid."""
        self.incidents: dict[str, Incident] = {}
        """The incidents that were opened, closed or changed, by id."""
        self.messages: list[tuple[str, str, float, str]] = []
        """connection, uuid, since when, evidence: for transitions that were written without any."""
        self.forgotten: list[Domain] = []
        """Domains that are forgotten, before anything new became known."""
        self.expired: list[Name] = []
        """Names whose series expired, before anything was counted."""
        self.aggregated: dict[Name, bool] = {}
        """Names that lost their own series to the series limit (True), or got some (False)."""
        self.observed_until: dict[str, float] = {}
        """Until when no event of a connection was missed; Unix time, seconds."""
        self.traced: list[TracedTransition] = []
        """Set by the journal: the spans of the transitions that it wrote, if spans are recorded."""
        self.scopes: dict[str, Scope] = {}
        """Connections that were listed with another filter than before."""
        self.hosts: dict[str, HostRecord] = {}
        """Connections whose host was seen on another boot than before."""
        self.clock: ClockRecord | None = None
        """Wall clock against steady clock, if that changed."""
        self.clock_jump = 0.0
        """Seconds that the wall clock jumped, before anything was counted."""

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(
            self.transitions
            or self.totals
            or self.domains
            or self.incidents
            or self.messages
            or self.forgotten
            or self.expired
            or self.aggregated
            or self.observed_until
            or self.scopes
            or self.hosts
            or self.clock
            or self.clock_jump
        )

    def count_transition(self, change: Transition, counted_as: str) -> None:
        """Count a transition. ``counted_as``: its own domain name, or ``_other``."""
        self.transitions.append(change)
        connection, event, reason = change.connection, change.event, change.reason
        self._increment((connection, counted_as, event, reason), change.at)
        self.totals[connection, "event", event, reason] += 1

    def count_raw_event(self, change: Transition) -> None:
        """Count an event under libvirt's own names."""
        self.totals[change.connection, "raw", change.event, raw_detail(change.event, change.detail)] += 1

    def add_total(self, connection: str, kind: str, amount: float = 1) -> None:
        """Increase a total that has no labels of its own; ``amount``: by how much."""
        self.totals[connection, kind, "", ""] += amount

    def add_duration(self, duration: Duration) -> None:
        """Add the duration of an operation."""
        what = f"{duration.operation}/{duration.outcome}"
        self.totals[duration.connection, "operation", what, str(duration.bucket)] += 1
        self.totals[duration.connection, "operation", what, "sum"] += duration.seconds

    def add_inventory_change(self, connection: str, change: InventoryChange) -> None:
        """Count a domain that was added or removed."""
        self.totals[connection, "inventory", change.kind, change.reason] += 1

    def open_incident(self, incident: Incident, counted_as: str) -> None:
        """Open and count an incident. ``counted_as``: its own domain name, or ``_other``."""
        self.changes.append(IncidentOpened(incident, counted_as))
        self.incidents[incident.id] = incident
        self._increment((incident.connection, counted_as, INCIDENT, incident.kind), incident.opened_at)

    def add(self, change: Change) -> None:
        """Add a change of what is shown besides counters, and what follows from it."""
        self.changes.append(change)
        derive = _DERIVED.get(type(change))
        if derive is not None:
            derive(self, change)

    def add_domain(self, domain: Domain) -> None:
        """Have a domain's row written."""
        self.domains[domain.connection, domain.uuid] = domain

    def forget(self, domain: Domain) -> None:
        """Have a domain's row deleted."""
        self.domains.pop((domain.connection, domain.uuid), None)
        self.forgotten.append(domain)

    def _increment(self, key: CountKey, at: float) -> None:
        counted = self.counts.get(key)
        self.counts[key] = (1, at) if counted is None else (counted[0] + 1, at)


def _incident(batch: ChangeBatch, change: IncidentClosed | IncidentShifted) -> None:
    batch.incidents[change.incident.id] = change.incident


def _incident_renamed(batch: ChangeBatch, change: IncidentRenamed) -> None:
    batch.incidents[change.new.id] = change.new


def _host_rebooted(batch: ChangeBatch, change: HostRebooted) -> None:
    batch.add_total(change.connection, "host_reboot")


_DERIVED: Mapping[type, Callable[[ChangeBatch, Any], None]] = MappingProxyType(
    {
        IncidentClosed: _incident,
        IncidentShifted: _incident,
        IncidentRenamed: _incident_renamed,
        HostRebooted: _host_rebooted,
    }
)
"""Change -> what follows from it for counters and rows."""
