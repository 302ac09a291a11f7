"""A journal writer, and the state that the journal is expected to restore."""

from collections import Counter
from pathlib import Path

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, IncidentOpened
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, SavedState, TotalKey
from libvirt_lifecycle_exporter.journal.buffer import MAX_BYTES
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Incident
from tests.journal.values import batch, transition


class ExpectedState:
    """The state that results from all batches written so far."""

    def __init__(self) -> None:
        self.counts: dict[CountKey, tuple[int, float]] = {}
        self.totals: Counter[TotalKey] = Counter()
        self.domains: dict[tuple[str, str], Domain] = {}
        self.watched: dict[str, float] = {}
        self.incidents: dict[str, Incident] = {}

    def apply(self, effects: ChangeBatch) -> None:
        # Expired series are removed before new counts apply, as on the metrics page.
        self.counts = {key: count for key, count in self.counts.items() if key[:2] not in effects.expired}
        for counted in effects.transitions:
            key = (counted.connection, counted.name, counted.event, counted.reason)
            self.counts[key] = (self.counts.get(key, (0, 0.0))[0] + 1, counted.at)
        for total, count in effects.totals.items():
            self.totals[total] += int(count)
        for domain in effects.forgotten:
            self.domains.pop((domain.connection, domain.uuid), None)
        self.domains |= effects.domains
        for change in effects.changes:
            if isinstance(change, IncidentOpened):
                incident = change.incident
                key = (incident.connection, incident.name, "incident", incident.kind)
                self.counts[key] = (self.counts.get(key, (0, 0.0))[0] + 1, incident.opened_at)
        self.watched |= effects.observed_until
        self.incidents |= effects.incidents

    def load(self, state: SavedState) -> None:
        """Start with the restored state, as the exporter does."""
        self.counts, self.watched = dict(state.counts), dict(state.observed_until)
        self.totals.update({key: int(total) for key, total in state.totals.items()})
        self.domains = {(domain.connection, domain.uuid): domain for domain in state.domains}
        self.incidents = {incident.id: incident for incident in state.incidents}

    def open_incidents(self) -> list[Incident]:
        return [incident for incident in self.incidents.values() if incident.closed_at is None]

    def saved_state(self) -> SavedState:
        return SavedState(
            dict(self.counts),
            dict(self.totals),
            list(self.domains.values()),
            dict(self.watched),
            self.open_incidents(),
        )


class Writer:
    """Append numbered transitions to a journal, recover it and restart it, as the exporter does."""

    def __init__(self, path: Path, max_buffer_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.expected = ExpectedState()
        self.number = 0
        self.journal = Journal(path, max_buffer_bytes=max_buffer_bytes, first_retry=0)
        self.restored = self.journal.restore()
        self.expected.load(self.restored)

    def append(self, transitions: int = 1) -> None:
        numbers = range(self.number, self.number + transitions)
        self.write(batch(transition(number) for number in numbers))
        self.number += transitions

    def write(self, effects: ChangeBatch) -> None:
        self.expected.apply(effects)
        self.journal.append(effects)

    def recover(self) -> None:
        self.journal.recover(self.expected.saved_state)

    def restart(self) -> SavedState:
        self.journal.close()
        self.journal = Journal(self.path, first_retry=0)
        self.restored = self.journal.restore()
        return self.restored

    def restores_everything(self) -> bool:
        return is_same_state(self.restart(), self.expected.saved_state())


def is_same_state(one: SavedState, other: SavedState) -> bool:
    """Compare two states, ignoring the order of domains and incidents."""
    return _comparable(one) == _comparable(other)


def _comparable(state: SavedState) -> tuple[object, ...]:
    domains = {(domain.connection, domain.uuid): domain for domain in state.domains}
    totals = {key: total for key, total in state.totals.items() if total}
    incidents = {incident.id: incident for incident in state.incidents}
    return state._replace(totals=totals, domains=domains, incidents=incidents)  # type: ignore[arg-type]
