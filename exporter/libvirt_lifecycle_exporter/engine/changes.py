"""What a batch of messages comes to: collected, written to the journal at once, then shown in order."""

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.domain_filter import Scope
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition
from libvirt_lifecycle_exporter.model.vocabulary import raw_detail
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord

TotalKey = tuple[str, str, str, str]
"""connection, kind, what, reason; ``sinks.connection_page`` says which kinds there are."""


TOTAL_KINDS = ("event", "raw", "inventory", "reconnect", "unobserved", "operation", "host_reboot")


CountKey = tuple[str, str, str, str]
"""connection, the name under which it is shown, event, reason; or ``INCIDENT`` and its kind"""

INCIDENT = "incident"

Name = tuple[str, str]
"""connection, domain's name"""


class TracedTransition(NamedTuple):
    """A transition, its number in the journal, and the span that it is on."""

    number: int
    change: Transition
    trace_id: str
    span_id: str


class HostRecord(NamedTuple):
    """The host behind a connection."""

    boot_id: str
    """Of the boot that it was last seen on."""
    rebooted_at: float
    """When the exporter last found that the host had rebooted; Unix time, seconds; 0: never."""


class SavedState(NamedTuple):
    """Everything that outlives a restart but the history."""

    counts: dict[CountKey, tuple[int, float]]
    """How often, and when last."""
    totals: dict[TotalKey, float]
    domains: list[Domain]
    watched_until: dict[str, float]
    incidents: list[Incident]
    """Those that are open."""
    folded: frozenset[Name] = frozenset()
    """Domains that found no room for series of their own."""
    scopes: Mapping[str, Scope] = MappingProxyType({})
    """By connection: the filter with which it was listed."""
    hosts: Mapping[str, HostRecord] = MappingProxyType({})
    """By connection: the host, where its boot can be identified."""
    clock: ClockRecord | None = None
    """Wall clock against steady clock."""

    def only(self, connections: Container[str]) -> "SavedState":
        """Return what concerns these connections."""
        return SavedState(
            {key: count for key, count in self.counts.items() if key[0] in connections},
            {key: count for key, count in self.totals.items() if key[0] in connections},
            [domain for domain in self.domains if domain.connection in connections],
            {name: until for name, until in self.watched_until.items() if name in connections},
            [incident for incident in self.incidents if incident.connection in connections],
            frozenset(name for name in self.folded if name[0] in connections),
            {name: scope for name, scope in self.scopes.items() if name in connections},
            {name: host for name, host in self.hosts.items() if name in connections},
        )


NOTHING = SavedState({}, {}, [], {}, [])


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
    """Filled by the worker while it takes in a batch."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.counts: dict[CountKey, tuple[int, float]] = {}
        """What the counters of domains grow by, and when last."""
        self.totals: dict[TotalKey, float] = defaultdict(float)
        """What the totals grow by."""
        self.domains: dict[tuple[str, str], Domain] = {}
        """Domains about which something new is known."""
        self.incidents: dict[str, Incident] = {}
        """Incidents that were opened or closed, by id."""
        self.opened: list[Incident] = []
        self.messages: list[tuple[str, str, float, str]] = []
        """connection, uuid, since when, evidence: for transitions that were written without any."""
        self.forgotten: list[Domain] = []
        """Domains that are long gone, or out of view; before anything new became known."""
        self.expired: list[Name] = []
        """Whose series have left, before anything was counted."""
        self.folded: dict[Name, bool] = {}
        """Who has no series any more (because of the limit), and who has now."""
        self.watched_until: dict[str, float] = {}
        """Until when nothing was missed on a connection; Unix time, seconds."""
        self.traced: list[TracedTransition] = []
        """What the journal says of the transitions that it took, if anything is traced."""
        self.scopes: dict[str, Scope] = {}
        """Connections that were listed with another filter than before."""
        self.hosts: dict[str, HostRecord] = {}
        """Connections whose host was seen on another boot than before."""
        self.clock: ClockRecord | None = None
        """Wall clock against steady clock, if that changed."""
        self.clock_jump = 0.0
        """Seconds that the wall clock jumped, before anything was counted."""
        self._shown: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def __bool__(self) -> bool:
        return bool(
            self.transitions
            or self.totals
            or self.domains
            or self.incidents
            or self.messages
            or self.forgotten
            or self.expired
            or self.folded
            or self.watched_until
            or self.scopes
            or self.hosts
            or self.clock
            or self.clock_jump
        )

    def count(self, change: Transition, place: str = "") -> None:
        """A transition happened; ``place``: the name under which it is shown, if that is another."""
        self.transitions.append(change)
        self._grow((change.connection, place or change.name, change.event, change.reason), change.at)
        self.totals[change.connection, "event", change.event, change.reason] += 1

    def raw(self, sent: Transition) -> None:
        """Count libvirt's own pair; a free-form word is counted as ``other``."""
        self.totals[sent.connection, "raw", sent.event, raw_detail(sent.event, sent.detail)] += 1

    def incident(self, incident: Incident, place: str = "") -> None:
        """An incident was opened or closed; ``place`` as for transitions."""
        self.incidents[incident.id] = incident
        if incident.closed_at is None:
            self.opened.append(incident)
            key = (incident.connection, place or incident.name, INCIDENT, incident.kind)
            self._grow(key, incident.opened_at)

    def took(self, duration: Duration) -> None:
        """An operation came to an end."""
        what = f"{duration.operation}/{duration.outcome}"
        self.totals[duration.connection, "operation", what, str(duration.bucket)] += 1
        self.totals[duration.connection, "operation", what, "sum"] += duration.seconds

    def note(self, connection: str, change: InventoryChange) -> None:
        """A domain came to exist, or ceased to."""
        self.totals[connection, "inventory", change.change, change.reason] += 1

    def touch(self, domain: Domain) -> None:
        """Something new is known about a domain."""
        self.domains[domain.connection, domain.uuid] = domain

    def forget(self, domain: Domain) -> None:
        """A domain is of no interest any more."""
        self.domains.pop((domain.connection, domain.uuid), None)
        self.forgotten.append(domain)

    def then(self, show: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - of the callable
        """Call this once the journal has it all."""
        self._shown.append((show, arguments))

    def _grow(self, key: CountKey, at: float) -> None:
        self.counts[key] = (self.counts.get(key, (0, 0.0))[0] + 1, at)

    def show(self, on_error: Callable[[Exception], None]) -> None:
        """Call what waits for the journal, in order; one callback that fails does not stop the others."""
        shown, self._shown = self._shown, []
        for show, arguments in shown:
            try:
                show(*arguments)
            except Exception as error:  # noqa: BLE001 - reported by the caller
                on_error(error)
