"""What processing messages changed: one list of typed changes for each batch of messages.

The journal writes a ``ChangeBatch``; after the commit, metrics applies the same list. Nothing is recorded a
second time in another form: the sums that the journal adds to its counters are derived as changes are added.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import Domain, DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import INCIDENT, CountKey, HostRecord, Name, TotalKey
from libvirt_lifecycle_exporter.model.domain_filter import Scope  # noqa: TC001 - one way of importing
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition
from libvirt_lifecycle_exporter.model.vocabulary import raw_detail
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord  # noqa: TC001 - one way of importing


class TransitionCounted(NamedTuple):
    """A transition happened."""

    transition: Transition
    counted_as: str
    """The domain name under which it is counted: its own, or ``_other``."""


class RawEventCounted(NamedTuple):
    """libvirt sent a lifecycle event, in libvirt's own words."""

    connection: str
    event: str
    detail: str


class DomainUpdated(NamedTuple):
    """What is exported under a domain name changed. The name has series of its own."""

    connection: str
    name: str
    values: DomainValues | None
    """None: no domain has the name; its series stay until they expire."""


class SeriesExpired(NamedTuple):
    """The series of a domain name are removed. It is the first change of its batch."""

    connection: str
    name: str


class IncidentOpened(NamedTuple):
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


class DurationObserved(NamedTuple):
    duration: Duration


class InventoryChanged(NamedTuple):
    """A domain was added or removed."""

    connection: str
    change: InventoryChange


class ConnectionChanged(NamedTuple):
    """A connection is up or down."""

    connection: str
    is_up: bool


class Reconnected(NamedTuple):
    """A lost connection was opened again."""

    connection: str


class UnobservedTimeAdded(NamedTuple):
    """Events of a connection may have been missed for this long."""

    connection: str
    seconds: float


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
    TransitionCounted
    | RawEventCounted
    | DomainUpdated
    | SeriesExpired
    | IncidentOpened
    | IncidentClosed
    | IncidentRestored
    | IncidentRenamed
    | IncidentShifted
    | DurationObserved
    | InventoryChanged
    | ConnectionChanged
    | Reconnected
    | UnobservedTimeAdded
    | StatesKnownChanged
    | HostRebooted
)


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

    def __init__(self) -> None:
        self.changes: list[Change] = []
        """All changes, in order."""
        self.transitions: list[Transition] = []
        self.counts: dict[CountKey, tuple[int, float]] = {}
        """By how much the counters of domains grow, and the newest time; Unix time, seconds."""
        self.totals: dict[TotalKey, float] = defaultdict(float)
        """By how much the totals of connections grow."""
        self.domains: dict[tuple[str, str], Domain] = {}
        """The domains whose row is to be written, by connection and uuid."""
        self.incidents: dict[str, Incident] = {}
        """The incidents that were opened, closed or changed, by id."""
        self.opened: list[Incident] = []
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

    def add(self, change: Change) -> None:
        """Add a change, and to the sums that follow from it."""
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

    def increment(self, key: CountKey, at: float) -> None:
        """Let a counter of a domain grow by one."""
        self.counts[key] = (self.counts.get(key, (0, 0.0))[0] + 1, at)


def _transition(batch: ChangeBatch, change: TransitionCounted) -> None:
    counted = change.transition
    batch.transitions.append(counted)
    batch.increment((counted.connection, change.counted_as, counted.event, counted.reason), counted.at)
    batch.totals[counted.connection, "event", counted.event, counted.reason] += 1


def _raw_event(batch: ChangeBatch, change: RawEventCounted) -> None:
    batch.totals[change.connection, "raw", change.event, raw_detail(change.event, change.detail)] += 1


def _incident_opened(batch: ChangeBatch, change: IncidentOpened) -> None:
    incident = change.incident
    batch.incidents[incident.id] = incident
    batch.opened.append(incident)
    batch.increment((incident.connection, change.counted_as, INCIDENT, incident.kind), incident.opened_at)


def _series_expired(batch: ChangeBatch, change: SeriesExpired) -> None:
    batch.expired.append((change.connection, change.name))


def _incident(batch: ChangeBatch, change: IncidentClosed | IncidentShifted) -> None:
    batch.incidents[change.incident.id] = change.incident


def _incident_renamed(batch: ChangeBatch, change: IncidentRenamed) -> None:
    batch.incidents[change.new.id] = change.new


def _duration(batch: ChangeBatch, change: DurationObserved) -> None:
    duration = change.duration
    what = f"{duration.operation}/{duration.outcome}"
    batch.totals[duration.connection, "operation", what, str(duration.bucket)] += 1
    batch.totals[duration.connection, "operation", what, "sum"] += duration.seconds


def _inventory(batch: ChangeBatch, change: InventoryChanged) -> None:
    batch.totals[change.connection, "inventory", change.change.change, change.change.reason] += 1


def _reconnected(batch: ChangeBatch, change: Reconnected) -> None:
    batch.totals[change.connection, "reconnect", "", ""] += 1


def _unobserved(batch: ChangeBatch, change: UnobservedTimeAdded) -> None:
    batch.totals[change.connection, "unobserved", "", ""] += change.seconds


def _host_rebooted(batch: ChangeBatch, change: HostRebooted) -> None:
    batch.totals[change.connection, "host_reboot", "", ""] += 1


_DERIVED: Mapping[type, Callable[[ChangeBatch, Any], None]] = MappingProxyType(
    {
        TransitionCounted: _transition,
        RawEventCounted: _raw_event,
        SeriesExpired: _series_expired,
        IncidentOpened: _incident_opened,
        IncidentClosed: _incident,
        IncidentShifted: _incident,
        IncidentRenamed: _incident_renamed,
        DurationObserved: _duration,
        InventoryChanged: _inventory,
        Reconnected: _reconnected,
        UnobservedTimeAdded: _unobserved,
        HostRebooted: _host_rebooted,
    }
)
"""Change -> how the sums of its batch grow."""
