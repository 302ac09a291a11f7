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
        self._excluded: SavedState = NOTHING
        """The state of domains that the filter passed before and does not now."""
        self._excluded_keys: frozenset[tuple[str, str]] = frozenset()
        """The keys of those domains: connection, uuid."""

    def restore(self, state: SavedState) -> SavedState:
        """Load the state from before a restart; return the part that the filter passes."""
        self._scopes = dict(state.scopes)
        excluded = self._excluded_keys = frozenset(
            (domain.connection, domain.uuid) for domain in state.domains if not self.passes(domain.name)
        )

        def is_included(one: Domain | Incident) -> bool:
            return self.passes(one.name) and (one.connection, one.uuid) not in excluded

        self._excluded = NOTHING._replace(
            domains=[one for one in state.domains if not is_included(one)],
            incidents=[one for one in state.incidents if not is_included(one)],
            aggregated=frozenset(name for name in state.aggregated if not self.passes(name[1])),
        )
        return state._replace(
            counts={key: n for key, n in state.counts.items() if key[1] == OTHER or self.passes(key[1])},
            domains=[one for one in state.domains if is_included(one)],
            incidents=[one for one in state.incidents if is_included(one)],
            aggregated=state.aggregated - self._excluded.aggregated,
        )

    def previously_listed(self, state: SavedState) -> Mapping[str, Passes]:
        """Return, for each listed connection, whether all domains with a given name were known."""
        known = {(domain.connection, domain.name) for domain in state.domains}
        return {
            connection: _passes(state.scopes.get(connection))
            or (lambda name, connection=connection: (connection, name) in known)  # type: ignore[misc]
            for connection in state.observed_until
        }

    def with_excluded(self, state: SavedState) -> SavedState:
        """Add the state of the domains that the filter does not pass, which outlives a restart too."""
        return state._replace(
            domains=[*state.domains, *self._excluded.domains],
            incidents=[*state.incidents, *self._excluded.incidents],
            aggregated=state.aggregated | self._excluded.aggregated,
            scopes=dict(self._scopes),
        )

    def is_excluded(self, connection: str, uuid: str) -> bool:
        """Return whether the filter passed the domain before a restart and does not now."""
        return (connection, uuid) in self._excluded_keys

    def record_listing(self, connection: str, at: float, found: Collection[str], batch: ChangeBatch) -> None:
        """Record a listing and drop the domains that are not in it. ``found``: UUIDs; ``at``: Unix time."""
        if self._scopes.get(connection) != self._scope:
            self._scopes[connection] = batch.scopes[connection] = self._scope
        excluded = self._excluded.only([connection])
        for domain in excluded.domains:
            if domain.uuid not in found:
                batch.forget(domain)
        for one in excluded.incidents:
            # The end of the incident will not be observed.
            batch.add(IncidentClosed(one._replace(closed_at=max(at, one.opened_at))))
        batch.aggregated.update(dict.fromkeys(excluded.aggregated, False))
        others = {domain.connection for domain in self._excluded.domains}
        others |= {incident.connection for incident in self._excluded.incidents}
        others |= {name[0] for name in self._excluded.aggregated}
        self._excluded = self._excluded.only(others - {connection})
        self._excluded_keys = frozenset(key for key in self._excluded_keys if key[0] != connection)


def _passes(scope: Scope | None) -> Passes | None:
    try:
        return None if scope is None else DomainFilter(*scope).passes
    except re.error:
        # Another Python version may reject an expression that was valid when it was stored.
        return None
