"""What a run answers for, and what else is in its journal.

Law: a connection that is not configured for a day, and a name that the filter does not pass for a while, find
their counters again. So what is beyond the extent of a run is never changed by it, only carried along.
"""

from collections.abc import Container

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.text import OTHER


class RunScope:
    """Some connections, and the names of domains that a filter passes."""

    def __init__(self, connections: Container[str] | None = None, names: DomainFilter | None = None) -> None:
        """``connections``: None for all of them; ``names``: None for all of them."""
        self._connections = connections
        self._passes = names.passes if names is not None else lambda _: True

    def covers(self, connection: str, name: str = OTHER) -> bool:
        """Tell whether the run answers for what is counted under this name."""
        is_here = self._connections is None or connection in self._connections
        return is_here and (name == OTHER or self._passes(name))

    def beyond(self, memory: SavedState) -> SavedState:
        """Return what the run does not answer for."""
        elsewhere = {key[0] for key in memory.totals} | memory.watched_until.keys() | memory.scopes.keys()
        elsewhere |= memory.hosts.keys()
        elsewhere |= {domain.connection for domain in memory.domains}
        elsewhere |= {incident.connection for incident in memory.incidents}
        return memory.only({name for name in elsewhere if not self.covers(name)})._replace(
            counts={key: count for key, count in memory.counts.items() if not self.covers(key[0], key[1])},
            folded=frozenset(name for name in memory.folded if not self.covers(*name)),
        )


EVERYTHING = RunScope()
