"""What outlives a restart, besides the history: the journal restores it, engine and metrics load it."""

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import NamedTuple

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.domain_filter import Scope
from libvirt_lifecycle_exporter.model.transitions import Incident
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord

TotalKey = tuple[str, str, str, str]
"""connection, kind, what, reason; ``metrics.connection_series`` lists the kinds."""


TOTAL_KINDS = ("event", "raw", "inventory", "reconnect", "unobserved", "operation", "host_reboot")


CountKey = tuple[str, str, str, str]
"""connection, name that it is counted under, event, reason; or ``INCIDENT`` and the kind of incident"""

INCIDENT = "incident"

Name = tuple[str, str]
"""connection, domain name"""


class HostRecord(NamedTuple):
    """The host behind a connection."""

    boot_id: str
    """The boot id when it was last seen."""
    rebooted_at: float
    """When the exporter last found that the host had rebooted; Unix time, seconds; 0: never."""


class SavedState(NamedTuple):
    """The state that outlives a restart, without the history."""

    counts: dict[CountKey, tuple[int, float]]
    """Count and newest time; Unix time, seconds."""
    totals: dict[TotalKey, float]
    domains: list[Domain]
    observed_until: dict[str, float]
    incidents: list[Incident]
    """The open incidents."""
    aggregated: frozenset[Name] = frozenset()
    """Domains without series of their own, because of the series limit."""
    scopes: Mapping[str, Scope] = MappingProxyType({})
    """By connection: the filter at its last listing."""
    hosts: Mapping[str, HostRecord] = MappingProxyType({})
    """By connection: its host, where the boot id is known."""
    clock: ClockRecord | None = None
    """Wall clock against steady clock."""

    def only(self, connections: Container[str]) -> "SavedState":
        """Return the part about these connections."""
        return SavedState(
            {key: count for key, count in self.counts.items() if key[0] in connections},
            {key: count for key, count in self.totals.items() if key[0] in connections},
            [domain for domain in self.domains if domain.connection in connections],
            {name: until for name, until in self.observed_until.items() if name in connections},
            [incident for incident in self.incidents if incident.connection in connections],
            frozenset(name for name in self.aggregated if name[0] in connections),
            {name: scope for name, scope in self.scopes.items() if name in connections},
            {name: host for name, host in self.hosts.items() if name in connections},
        )


NOTHING = SavedState({}, {}, [], {}, [])
