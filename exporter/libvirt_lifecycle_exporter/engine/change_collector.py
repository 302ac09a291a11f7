"""Counts transitions: adds run, incident and message to each one, and everything that follows from it.

Invariant: every change is added to ``batch`` once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from libvirt_lifecycle_exporter.engine.changes import (
    Change,
    ChangeBatch,
    DurationObserved,
    IncidentClosed,
    IncidentOpened,
    IncidentRenamed,
    IncidentRestored,
    IncidentShifted,
    InventoryChanged,
    RawEventCounted,
    SeriesExpired,
    TransitionCounted,
)
from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.durations import OUTAGES, Duration, DurationTracker
from libvirt_lifecycle_exporter.engine.explanations import Explanations
from libvirt_lifecycle_exporter.engine.hangs import HANG_EVENTS, Hang, Hangs
from libvirt_lifecycle_exporter.engine.incidents import Incidents
from libvirt_lifecycle_exporter.engine.inventory import Inventory, Update
from libvirt_lifecycle_exporter.engine.pending_stops import PendingStops
from libvirt_lifecycle_exporter.engine.record import Domain, DomainValues, Records
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
        self._explanations = Explanations(records)
        self._incidents = Incidents(records)
        self._operations = DurationTracker(records)
        self._stops = PendingStops(records)
        self.batch = ChangeBatch()
        """What has come up since the last ``collect``."""
        self.requests = Requests()

    def restore(self, state: SavedState, now: float) -> list[Change]:
        """Load the state from before a restart; the inventory has been restored. ``now``: Unix time, seconds.

        Return the changes that export it. They are in the journal already.
        """
        self._series.restore(state, now)
        self._hangs.restore(self._open_hangs(state), state.counts, now)
        self._incidents.restore(state.incidents)
        updates = [self._series.update_domain(self._values(domain)) for domain in state.domains]
        return [*(update for update in updates if update is not None), *self._restore_incidents(now)]

    def shift(self, jump: float) -> None:
        """Adjust all measured times to a jump of the wall clock, in seconds."""
        self._classifier.shift(jump)
        self._hangs.shift(jump)
        self._operations.shift(jump)
        self._series.shift(jump)
        self.shift_outages(jump)

    def shift_outages(self, jump: float) -> None:
        """Adjust the incidents that count as outages to a jump of the wall clock, in seconds."""
        for incident in self._incidents.shift(jump, OUTAGES):
            self.batch.add(IncidentShifted(incident))

    def rows_to_write(self) -> tuple[list[Domain], list[Incident]]:
        """Return the domains and the open incidents as the journal must have them."""
        return self._stops.rows_to_write(self._inventory.all()), self._incidents.open()

    def settle(self) -> None:
        """Complete the batch. Call it before ``collect``."""
        pending = self._classifier.pending()
        for (connection, _), changes in self._stops.close_decided(pending):
            self._add_inventory_changes(connection, changes)
        for key, domain in self.batch.domains.items():
            # While a verdict is open, its evidence is still to come.
            if not domain.present and key not in pending:
                self._add_incidents(self._incidents.close_all(*key, domain.removed_at), removed=True)
        for domain in self._stops.rows_to_write(self.batch.domains.values()):
            self.batch.add_domain(domain)
        self.batch.aggregated.update(self._series.take_aggregation_changes())

    def collect(self) -> tuple[ChangeBatch, Requests]:
        """Return the changes and the requests since the last call. Raises nothing."""
        batch, requests = self.batch, self.requests
        self.batch, self.requests = ChangeBatch(), Requests()
        return batch, requests

    def count_raw_event(self, change: Transition) -> None:
        """Count an event under libvirt's own names."""
        self.batch.add(RawEventCounted(change.connection, change.event, change.detail))

    def begin_stop(self, domain: Domain) -> None:
        """Record a domain as it is before it stops."""
        self._add_inventory_changes(domain.connection, self._stops.begin(domain))

    def count(self, changes: Iterable[Transition], message: str = "") -> None:
        """Count transitions. ``message``: evidence for those without a message of their own."""
        for change in map(self._explanations.explain, changes):
            record = self._records.get(change.connection, change.uuid)
            domain = run = record.domain
            if change.event == "stopped":
                # A verdict may be given when the next run has begun already.
                run = record.before_stop or domain
                self._add_inventory_changes(change.connection, self._stops.release_held(record.key))
            run_id = "" if run is None else run.run_id
            hung = record.hung
            more = self._hangs.apply(change._replace(message=change.message or message))
            incident_id, incidents = self._incidents.apply(change)
            complete = change._replace(
                run_id=run_id, incident_id=incident_id, message=change.message or message
            )
            if not complete.message and (change.event, change.reason) in EXPLAINED:
                self.requests.explain(change)
            if domain is not None:
                self.batch.add_domain(domain)
            self.batch.add(TransitionCounted(complete, self._series.counting_name(complete)))
            self._add_durations(self._operations.apply(complete))
            self._add_incidents(incidents)
            if domain is None or not domain.present:
                gone = self._incidents.close_all(change.connection, change.uuid, change.at)
                self._add_incidents(gone, removed=True)
            if domain is None:
                self._release(complete.connection, complete.name, complete.uuid, complete.at)
            elif not domain.present or change.event in HANG_EVENTS or record.hung != hung:
                self._export(domain)
            self.count(more)

    def update_domain(self, update: Update, at: float) -> None:
        """Record a changed domain. ``at``: Unix time, seconds."""
        domain = update.domain
        self._add_inventory_changes(
            domain.connection, self._stops.hold((domain.connection, domain.uuid), update.changes)
        )
        if update.old_name is not None:
            self._release(domain.connection, update.old_name, domain.uuid, at)
        self.batch.add_domain(domain)
        self._export(domain)
        if update.old_name is not None:
            self._rename_incidents(domain, at)

    def drop_filtered(self, domain: Domain, at: float) -> None:
        """Drop a domain that the filter no longer passes. That is no transition."""
        for incident in self._incidents.close_all(domain.connection, domain.uuid, at):
            self.batch.add(IncidentClosed(incident))
        self._drop(domain)
        self._release(domain.connection, domain.name, domain.uuid, at)

    def forget(self, domain: Domain) -> None:
        """Forget a domain that was removed long ago."""
        self._drop(domain)
        self._series.forget(domain.connection, domain.name)

    def expire(self, now: float) -> None:
        """Remove the series whose time has come (``now``: Unix time). Call it before anything is counted."""
        for name in self._series.expire(now):
            self.batch.add(SeriesExpired(*name))

    def _drop(self, domain: Domain) -> None:
        self.batch.forget(domain)
        self._records.drop(domain.connection, domain.uuid)

    def _export(self, domain: Domain) -> None:
        """Export a domain as it is now."""
        update = self._series.update_domain(self._values(domain))
        if update is not None:
            self.batch.add(update)

    def _release(self, connection: str, name: str, uuid: str, at: float) -> None:
        """Export that a domain no longer has a name. ``at``: Unix time, seconds."""
        update = self._series.release(connection, name, uuid, at)
        if update is not None:
            self.batch.add(update)

    def _add_inventory_changes(self, connection: str, changes: Iterable[InventoryChange]) -> None:
        for change in changes:
            self.batch.add(InventoryChanged(connection, change))

    def _open_hangs(self, state: SavedState) -> Iterator[Hang]:
        """Yield the hangs that were open. A domain that is shut off is not hung."""
        for one in state.incidents:
            domain = self._inventory.find(one.connection, one.uuid)
            if one.kind == HUNG and domain is not None and domain.present and domain.state != INACTIVE:
                yield Hang(one.connection, one.uuid, domain.name, one.opened_at)

    def _values(self, domain: Domain) -> DomainValues:
        return domain.values(self._hangs.signals(domain.connection, domain.uuid))

    def _add_incidents(self, incidents: Iterable[Incident], *, removed: bool = False) -> None:
        for incident in incidents:
            if incident.closed_at is None:
                counted_as = self._series.admit(incident.connection, incident.name)
                self.batch.add(IncidentOpened(incident, counted_as))
            else:
                self.batch.add(IncidentClosed(incident))
            self._add_durations(self._operations.incident_closed(incident, removed=removed))

    def _restore_incidents(self, now: float) -> Iterator[Change]:
        """Yield the restored incidents; close those of domains that no longer exist."""
        for incident in self._incidents.open():
            domain = self._inventory.find(incident.connection, incident.uuid)
            if domain is None or not domain.present:
                at = now if domain is None else domain.removed_at
                removed = self._incidents.close_all(incident.connection, incident.uuid, at)
                self._add_incidents(removed, removed=True)
            else:
                yield IncidentRestored(incident, self._series.admit(incident.connection, incident.name))
                self._rename_incidents(domain, now)

    def _rename_incidents(self, domain: Domain, at: float) -> None:
        """Move the open incidents of a renamed domain to its new name. They are counted already."""
        for old, new in self._incidents.rename(domain.connection, domain.uuid, domain.name):
            counted_as = self._series.admit(domain.connection, domain.name)
            self.batch.add(IncidentRenamed(old, new, counted_as, at))

    def _add_durations(self, durations: Iterable[Duration]) -> None:
        for duration in durations:
            self.batch.add(DurationObserved(duration))
