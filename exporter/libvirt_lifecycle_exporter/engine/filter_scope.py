"""Which domains the filter passes now, and passed when their connection was last listed.

A change of the filter is no transition. A domain that the filter passes only now is taken over as in a first
listing. A domain that it no longer passes is not exported; its state is dropped with the next listing of its
connection, and its counters stay in the journal. Until that listing nothing is dropped, so correcting a wrong
filter in time costs nothing.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, IncidentClosed
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, SavedState
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter, Scope
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Incident

Passes = Callable[[str], bool]
"""Returns whether the filter passes, or passed, a domain name."""


class FilterScope:
    """The domains that the filter passes, now and before a restart."""

    def __init__(self, names: DomainFilter) -> None:
        self.passes: Final[Passes] = names.passes
        self._scope = names.scope
        self._scopes: dict[str, Scope] = {}
        """By connection: the filter at its last listing."""
        self._left: SavedState = NOTHING
        """The state of domains that the filter passed before and does not now."""
        self._gone: frozenset[tuple[str, str]] = frozenset()
        """The keys of those domains: connection, uuid."""

    def restore(self, memory: SavedState) -> SavedState:
        """Load the state from before a restart; return the part that the filter passes."""
        self._scopes = dict(memory.scopes)
        gone = self._gone = frozenset(
            (domain.connection, domain.uuid) for domain in memory.domains if not self.passes(domain.name)
        )

        def stays(one: Domain | Incident) -> bool:
            return self.passes(one.name) and (one.connection, one.uuid) not in gone

        self._left = NOTHING._replace(
            domains=[one for one in memory.domains if not stays(one)],
            incidents=[one for one in memory.incidents if not stays(one)],
            folded=frozenset(name for name in memory.folded if not self.passes(name[1])),
        )
        return memory._replace(
            counts={key: n for key, n in memory.counts.items() if key[1] == OTHER or self.passes(key[1])},
            domains=[one for one in memory.domains if stays(one)],
            incidents=[one for one in memory.incidents if stays(one)],
            folded=memory.folded - self._left.folded,
        )

    def before(self, memory: SavedState) -> Mapping[str, Passes]:
        """Return, for each listed connection, whether all domains with a given name were known."""
        known = {(domain.connection, domain.name) for domain in memory.domains}
        return {
            connection: _passes(memory.scopes.get(connection))
            or (lambda name, connection=connection: (connection, name) in known)  # type: ignore[misc]
            for connection in memory.watched_until
        }

    def remember(self, memory: SavedState) -> SavedState:
        """Add the state of the domains that the filter does not pass, which outlives a restart too."""
        return memory._replace(
            domains=[*memory.domains, *self._left.domains],
            incidents=[*memory.incidents, *self._left.incidents],
            folded=memory.folded | self._left.folded,
            scopes=dict(self._scopes),
        )

    def has_left(self, connection: str, uuid: str) -> bool:
        """Return whether the filter passed the domain before a restart and does not now."""
        return (connection, uuid) in self._gone

    def listed(self, connection: str, at: float, found: Collection[str], batch: ChangeBatch) -> None:
        """Record a listing and drop the domains that are not in it. ``found``: UUIDs; ``at``: Unix time."""
        if self._scopes.get(connection) != self._scope:
            self._scopes[connection] = batch.scopes[connection] = self._scope
        left = self._left.only([connection])
        for domain in left.domains:
            if domain.uuid not in found:
                batch.forget(domain)
        for one in left.incidents:
            # The end of the incident will not be observed.
            batch.add(IncidentClosed(one._replace(closed_at=max(at, one.opened_at))))
        batch.folded.update(dict.fromkeys(left.folded, False))
        others = {domain.connection for domain in self._left.domains}
        others |= {incident.connection for incident in self._left.incidents}
        others |= {name[0] for name in self._left.folded}
        self._left = self._left.only(others - {connection})
        self._gone = frozenset(key for key in self._gone if key[0] != connection)


def _passes(scope: Scope | None) -> Passes | None:
    try:
        return None if scope is None else DomainFilter(*scope).passes
    except re.error:
        # Another Python version may reject an expression that was valid when it was stored.
        return None
