"""The connections and domain names of one run of the exporter.

Invariant: a run changes nothing in the journal that is outside of its scope. A connection or a domain name
that is configured again later continues with its counters.
"""

from collections.abc import Container

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.text import OTHER


class RunScope:
    """A set of connections and a domain filter."""

    def __init__(self, connections: Container[str] | None = None, names: DomainFilter | None = None) -> None:
        """``connections``: None: all; ``names``: None: all."""
        self._connections = connections
        self._passes = names.passes if names is not None else lambda _: True

    def covers(self, connection: str, name: str = OTHER) -> bool:
        """Return whether a connection, and a domain name of it, are in scope."""
        is_here = self._connections is None or connection in self._connections
        return is_here and (name == OTHER or self._passes(name))

    def outside(self, state: SavedState) -> SavedState:
        """Return the part of a state that is out of scope."""
        elsewhere = {key[0] for key in state.totals} | state.observed_until.keys() | state.scopes.keys()
        elsewhere |= state.hosts.keys()
        elsewhere |= {domain.connection for domain in state.domains}
        elsewhere |= {incident.connection for incident in state.incidents}
        return state.only({name for name in elsewhere if not self.covers(name)})._replace(
            counts={key: count for key, count in state.counts.items() if not self.covers(key[0], key[1])},
            aggregated=frozenset(name for name in state.aggregated if not self.covers(*name)),
        )


EVERYTHING = RunScope()
