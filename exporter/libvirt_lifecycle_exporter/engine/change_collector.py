"""Counts transitions: adds run, incident and message to each one, and everything that follows from it.

Invariant: a transition is added to ``batch`` once. What a domain's row and series show is taken once per
batch, by ``settle``, however many transitions the batch has.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from libvirt_lifecycle_exporter.engine import durations, incidents
from libvirt_lifecycle_exporter.engine.changes import (
    Change,
    ChangeBatch,
    IncidentClosed,
    IncidentRenamed,
    IncidentRestored,
    IncidentShifted,
)
from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.explanations import explain
from libvirt_lifecycle_exporter.engine.hangs import Hang, Hangs
from libvirt_lifecycle_exporter.engine.inventory import Inventory, Update
from libvirt_lifecycle_exporter.engine.pending_stops import PendingStops, row_to_write
from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Key, Records
from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED, HUNG


class Requests:
    """Requests to libvirt."""

    def __init__(self) -> None:
        self.lookups: dict[str, dict[str, EvidenceRequest | None]] = defaultdict(dict)
        """By connection: the domains to look at, and of whom evidence is wanted."""
        self.listings: set[str] = set()
        """Connections to list anew."""

    def look_up(self, connection: str, uuid: str) -> None:
        """Request a lookup of a domain."""
        self.lookups[connection].setdefault(uuid, None)

    def explain(self, change: Transition) -> None:
        """Request a lookup of a domain, and evidence for what happened to it."""
        subject = EvidenceRequest(change.name, change.domain_id, change.event, change.reason, change.at)
        self.lookups[change.connection][change.uuid] = subject


class ChangeCollector:
    """Collects the changes of one engine."""

    def __init__(
        self,
        series: SeriesLimit,
        records: Records,
        inventory: Inventory,
        classifier: Classifier,
        hangs: Hangs,
    ) -> None:
        self._series = series
        self._records = records
        self._inventory = inventory
        self._classifier = classifier
        self._hangs = hangs
        self._stops = PendingStops()
        self._touched: dict[Key, DomainRecord] = {}
        """Records of domains whose row and series may have changed since the last ``settle``."""
        self.batch = ChangeBatch()
        """What has come up since the last ``collect``."""
        self.requests = Requests()

    def restore(self, state: SavedState, now: float) -> list[Change]:
        """Load the state from before a restart; the inventory has been restored. ``now``: Unix time, seconds.

        Return the changes that export it. They are in the journal already.
        """
        self._series.restore(state, now)
        self._hangs.restore(self._open_hangs(state), state.counts, now)
        incidents.restore(self._records, state.incidents)
        updates = [
            self._series.update_domain(domain.values(record.hung))
            for record in self._records
            if (domain := record.domain) is not None
        ]
        return [*(update for update in updates if update is not None), *self._restore_incidents(now)]

    def shift(self, jump: float) -> None:
        """Adjust all measured times to a jump of the wall clock, in seconds."""
        self._classifier.shift(jump)
        self._hangs.shift(jump)
        durations.shift(self._records, jump)
        self._series.shift(jump)
        self.shift_outages(jump)

    def shift_outages(self, jump: float) -> None:
        """Adjust the incidents that count as outages to a jump of the wall clock, in seconds."""
        for incident in incidents.shift(self._records, jump, durations.OUTAGES):
            self.batch.add(IncidentShifted(incident))

    def rows_to_write(self) -> tuple[list[Domain], list[Incident]]:
        """Return the domains and the open incidents as the journal must have them."""
        rows = [
            row for record in self._records if record.domain is not None and (row := row_to_write(record))
        ]
        return rows, incidents.open_incidents(self._records)

    def settle(self) -> None:
        """Complete the batch. Call it before ``collect``."""
        pending = self._classifier.pending()
        for (connection, _), changes in self._stops.close_decided(pending):
            self._add_inventory_changes(connection, changes)
        for key in [*self._touched]:
            record = self._touched.pop(key)
            if record.domain is not None:
                self._settle_domain(record, record.domain, is_pending=key in pending)
        self.batch.aggregated.update(self._series.take_aggregation_changes())

    def collect(self) -> tuple[ChangeBatch, Requests]:
        """Return the changes and the requests since the last call. Raises nothing."""
        batch, requests = self.batch, self.requests
        self.batch, self.requests = ChangeBatch(), Requests()
        return batch, requests

    def begin_stop(self, record: DomainRecord, domain: Domain) -> None:
        """Record a domain as it is before it stops."""
        self._add_inventory_changes(domain.connection, self._stops.begin(record, domain))

    def count_all(self, changes: Iterable[Transition], message: str = "") -> None:
        """Count transitions of any domains. ``message``: evidence for those without their own."""
        for change in changes:
            self.count(self._records.get(change.connection, change.uuid), change, message)

    def count(self, record: DomainRecord, change: Transition, message: str = "") -> None:
        """Count a transition of a domain. ``message``: evidence, if it has no message of its own."""
        change = explain(record, change)
        message = change.message or message
        domain = run = record.domain
        if change.event == "stopped":
            # A verdict may be given when the next run has begun already.
            run = record.before_stop or domain
            self._add_inventory_changes(change.connection, self._stops.release_held(record.key))
        run_id = "" if run is None else run.run_id
        follow_ups = self._hangs.apply(record, change)
        incident_id, evidence_of = incidents.apply(record, change)
        if message or run_id or incident_id:
            change = Transition(*change[:10], message, run_id, incident_id)
        if not message and (change.event, change.reason) in EXPLAINED:
            self.requests.explain(change)
        self.batch.count_transition(change, self._series.counting_name(change))
        for duration in durations.observe(record, change):
            self.batch.add_duration(duration)
        if evidence_of:
            self._add_incidents(evidence_of)
        if domain is not None:
            self._touched[change.connection, change.uuid] = record
        else:
            self._release(change.connection, change.name, change.uuid, change.at)
        if record.incidents and (domain is None or not domain.present):
            self._add_incidents(incidents.close_all(record, change.at), removed=True)
        for follow_up in follow_ups:
            self.count(record, follow_up, message)

    def update_domain(self, record: DomainRecord, update: Update, at: float) -> None:
        """Record a changed domain. ``at``: Unix time, seconds."""
        if update.changes:
            self._add_inventory_changes(record.connection, self._stops.hold(record, update.changes))
        if update.old_name is not None:
            self._release(record.connection, update.old_name, record.uuid, at)
            self._rename_incidents(record, update.domain, at)
        self._touched[record.connection, record.uuid] = record

    def drop_filtered(self, record: DomainRecord, domain: Domain, at: float) -> None:
        """Drop a domain that the filter no longer passes. That is no transition."""
        for incident in incidents.close_all(record, at):
            self.batch.add(IncidentClosed(incident))
        self._drop(domain)
        self._release(domain.connection, domain.name, domain.uuid, at)

    def forget(self, domain: Domain) -> None:
        """Forget a domain that was removed long ago."""
        record = self._touched.get((domain.connection, domain.uuid))
        if record is not None:
            # Its verdict may have been given just now, and counting that may have brought its series back.
            self._settle_domain(record, domain, is_pending=False)
        self._drop(domain)
        self._series.forget(domain.connection, domain.name)

    def expire(self, now: float) -> None:
        """Remove the series whose time has come (``now``: Unix time). Call it before anything is counted."""
        self.batch.expired += self._series.expire(now)

    def _settle_domain(self, record: DomainRecord, domain: Domain, *, is_pending: bool) -> None:
        """Export a domain as it is now, and have its row written."""
        update = self._series.update_domain(domain.values(record.hung))
        if update is not None:
            self.batch.add(update)
        # While a verdict is open, its evidence is still to come.
        if record.incidents and not domain.present and not is_pending:
            self._add_incidents(incidents.close_all(record, domain.removed_at), removed=True)
        self.batch.add_domain((record.before_stop or domain).copy())

    def _drop(self, domain: Domain) -> None:
        self._touched.pop((domain.connection, domain.uuid), None)
        self.batch.forget(domain)
        self._records.drop(domain.connection, domain.uuid)

    def _release(self, connection: str, name: str, uuid: str, at: float) -> None:
        """Export that a domain no longer has a name. ``at``: Unix time, seconds."""
        update = self._series.release(connection, name, uuid, at)
        if update is not None:
            self.batch.add(update)

    def _add_inventory_changes(self, connection: str, changes: Iterable[InventoryChange]) -> None:
        for change in changes:
            self.batch.add_inventory_change(connection, change)

    def _open_hangs(self, state: SavedState) -> Iterator[Hang]:
        """Yield the hangs that were open. A domain that is shut off is not hung."""
        for one in state.incidents:
            domain = self._inventory.find(one.connection, one.uuid)
            if one.kind == HUNG and domain is not None and domain.present and domain.state != INACTIVE:
                yield Hang(one.connection, one.uuid, domain.name, one.opened_at)

    def _add_incidents(self, changed: Iterable[Incident], *, removed: bool = False) -> None:
        for incident in changed:
            if incident.closed_at is None:
                self.batch.open_incident(incident, self._series.admit(incident.connection, incident.name))
            else:
                self.batch.add(IncidentClosed(incident))
            for duration in durations.outage_of(incident, removed=removed):
                self.batch.add_duration(duration)

    def _restore_incidents(self, now: float) -> Iterator[Change]:
        """Yield the restored incidents; close those of domains that no longer exist."""
        for incident in incidents.open_incidents(self._records):
            record = self._records.get(incident.connection, incident.uuid)
            domain = record.domain
            if domain is None or not domain.present:
                at = now if domain is None else domain.removed_at
                self._add_incidents(incidents.close_all(record, at), removed=True)
            else:
                yield IncidentRestored(incident, self._series.admit(incident.connection, incident.name))
                self._rename_incidents(record, domain, now)

    def _rename_incidents(self, record: DomainRecord, domain: Domain, at: float) -> None:
        """Move the open incidents of a renamed domain to its new name. They are counted already."""
        for old, new in incidents.rename(record, domain.name):
            counted_as = self._series.admit(domain.connection, domain.name)
            self.batch.add(IncidentRenamed(old, new, counted_as, at))
