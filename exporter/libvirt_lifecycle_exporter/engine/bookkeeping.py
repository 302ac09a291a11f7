"""What is counted: each transition with its run, its incident and its words, and what follows from it.

Law: what is counted goes into ``effects`` once, for the journal, and is shown when that has been written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from libvirt_lifecycle_exporter.engine.changes import (
    ChangeBatch,
    DomainUpdated,
    DurationObserved,
    IncidentClosed,
    IncidentOpened,
    IncidentRenamed,
    IncidentShifted,
    InventoryChanged,
    NameReleased,
    RawEventCounted,
    TransitionCounted,
)
from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.durations import OUTAGES, Duration, DurationTracker
from libvirt_lifecycle_exporter.engine.explanations import Explanations
from libvirt_lifecycle_exporter.engine.hangs import TELLS, Hang, Hangs
from libvirt_lifecycle_exporter.engine.incidents import Incidents
from libvirt_lifecycle_exporter.engine.interfaces import Sink
from libvirt_lifecycle_exporter.engine.inventory import Inventory, Update
from libvirt_lifecycle_exporter.engine.pending_stops import PendingStops
from libvirt_lifecycle_exporter.engine.record import Domain, DomainValues, Records
from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED, HUNG


class Requests:
    """What is to be asked of libvirt."""

    def __init__(self) -> None:
        self.looks: dict[str, dict[str, EvidenceRequest | None]] = defaultdict(dict)
        """By connection: the domains to look at, and of whom evidence is wanted."""
        self.snapshots: set[str] = set()
        """Connections to list anew."""

    def look(self, connection: str, uuid: str) -> None:
        """Ask for a look at a domain."""
        self.looks[connection].setdefault(uuid, None)

    def explain(self, change: Transition) -> None:
        """Ask for a look at a domain, and why this happened to it."""
        subject = EvidenceRequest(change.name, change.domain_id, change.event, change.reason, change.at)
        self.looks[change.connection][change.uuid] = subject


class Bookkeeping:
    """Keeps the books of one pipeline."""

    def __init__(
        self, sink: Sink, records: Records, inventory: Inventory, diagnosis: Classifier, hangs: Hangs
    ) -> None:
        self._sink = sink
        self._records = records
        self._inventory = inventory
        self._diagnosis = diagnosis
        self._hangs = hangs
        self._causes = Explanations(records)
        self._incidents = Incidents(records)
        self._operations = DurationTracker(records)
        self._stops = PendingStops(records)
        self.effects = ChangeBatch()
        """What has come up since the last ``harvest``."""
        self.wishes = Requests()

    def restore(self, memory: SavedState, now: float) -> None:
        """Take over the books from before a restart; the inventory has the domains already."""
        self._sink.restore(memory, now)
        for domain in memory.domains:
            self._sink.show(self._values(domain))
        self._hangs.restore(self._hanging(memory), memory.counts, now)
        self._incidents.restore(memory.incidents)
        self._adopt_incidents(now)
        for domain in memory.domains:
            if self._hangs.signals(domain.connection, domain.uuid):
                self._sink.show(self._values(domain))

    def shift(self, jump: float) -> None:
        """Let everything whose duration is measured follow a jump of the wall clock, in seconds."""
        self._diagnosis.shift(jump)
        self._hangs.shift(jump)
        self._operations.shift(jump)
        self.shift_outages(jump)

    def shift_outages(self, jump: float) -> None:
        """Let the incidents that count as outages follow a jump of the wall clock, in seconds."""
        for incident in self._incidents.shift(jump, OUTAGES):
            self.effects.add(IncidentShifted(incident))

    def written(self) -> tuple[list[Domain], list[Incident]]:
        """Return the domains and the open incidents as they are fit to be written."""
        return self._stops.written(self._inventory.all()), self._incidents.open()

    def settle(self) -> None:
        """Make what has come up fit to be written; before ``harvest``."""
        pending = self._diagnosis.pending()
        for (connection, _), changes in self._stops.settle(pending):
            self._note(connection, changes)
        for key, domain in self.effects.domains.items():
            # Whatever removed the domain. While a verdict is open, its evidence is still to come.
            if not domain.present and key not in pending:
                self._note_incidents(self._incidents.removed(*key, domain.removed_at), removed=True)
        for domain in self._stops.written(self.effects.domains.values()):
            self.effects.touch(domain)
        self.effects.folded.update(self._sink.folded_lately())

    def harvest(self) -> tuple[ChangeBatch, Requests]:
        """Return what has come up since the last time, and what is to be asked. Raises nothing."""
        effects, wishes = self.effects, self.wishes
        self.effects, self.wishes = ChangeBatch(), Requests()
        return effects, wishes

    def raw(self, change: Transition) -> None:
        """Count libvirt's own words."""
        self.effects.add(RawEventCounted(change.connection, change.event, change.detail))

    def stops(self, domain: Domain) -> None:
        """Note how a domain is before it stops."""
        self._note(domain.connection, self._stops.begin(domain))

    def count(self, changes: Iterable[Transition], message: str = "") -> None:
        """Count transitions; ``message``: why, for those that do not say so themselves."""
        for change in map(self._causes.explain, changes):
            domain = self._inventory.find(change.connection, change.uuid)
            run = domain
            key = (change.connection, change.uuid)
            if change.event == "stopped":
                # A verdict may be given when the next run has begun already.
                run = self._stops.before(key) or domain
                self._note(change.connection, self._stops.counted(key))
            run_id = "" if run is None else run.run_id
            hung = self._hangs.signals(*key)
            more = self._hangs.see(change._replace(message=change.message or message))
            incident_id, incidents = self._incidents.take(change)
            whole = change._replace(run_id=run_id, incident_id=incident_id, message=change.message or message)
            if not whole.message and (change.event, change.reason) in EXPLAINED:
                self.wishes.explain(change)
            if domain is not None:
                self.effects.touch(domain)
            place = self._sink.place(whole)
            self.effects.add(TransitionCounted(whole, place))
            self._took(self._operations.take(whole))
            self._note_incidents(incidents)
            if domain is None or not domain.present:
                gone = self._incidents.removed(change.connection, change.uuid, change.at)
                self._note_incidents(gone, removed=True)
            if domain is None:
                self.effects.add(NameReleased(whole.connection, whole.name, whole.uuid, whole.at))
            elif not domain.present or change.event in TELLS or self._hangs.signals(*key) != hung:
                self.effects.add(DomainUpdated(self._values(domain)))
            self.count(more)

    def tell(self, update: Update, at: float) -> None:
        """Show what changed of a domain."""
        domain = update.domain
        self._note(domain.connection, self._stops.hold((domain.connection, domain.uuid), update.changes))
        if update.left is not None:
            self.effects.add(NameReleased(domain.connection, update.left, domain.uuid, at))
        if domain.present:
            self._sink.admit(domain.connection, domain.name)
        self.effects.touch(domain)
        self.effects.add(DomainUpdated(self._values(domain)))
        if update.left is not None:
            self._rename_incidents(domain, at)

    def lose(self, domain: Domain, at: float) -> None:
        """Drop a domain that left the view: that is no transition, and nobody will see how it goes on."""
        for incident in self._incidents.removed(domain.connection, domain.uuid, at):
            self.effects.add(IncidentClosed(incident))
        self.forget(domain)
        self.effects.add(NameReleased(domain.connection, domain.name, domain.uuid, at))

    def forget(self, domain: Domain) -> None:
        """Forget a domain."""
        self.effects.forget(domain)
        self._records.drop(domain.connection, domain.uuid)

    def _note(self, connection: str, changes: Iterable[InventoryChange]) -> None:
        for change in changes:
            self.effects.add(InventoryChanged(connection, change))

    def _hanging(self, memory: SavedState) -> Iterator[Hang]:
        """The hangs that were open and may be still; what is off hangs no longer."""
        for one in memory.incidents:
            domain = self._inventory.find(one.connection, one.uuid)
            if one.kind == HUNG and domain is not None and domain.present and domain.state != INACTIVE:
                yield Hang(one.connection, one.uuid, domain.name, one.opened_at)

    def _values(self, domain: Domain) -> DomainValues:
        return domain.values(self._hangs.signals(domain.connection, domain.uuid))

    def _note_incidents(self, incidents: Iterable[Incident], *, removed: bool = False) -> None:
        for incident in incidents:
            if incident.closed_at is None:
                place = self._sink.admit(incident.connection, incident.name)
                self.effects.add(IncidentOpened(incident, place))
            else:
                self.effects.add(IncidentClosed(incident))
            self._took(self._operations.incident_closed(incident, removed=removed))

    def _adopt_incidents(self, now: float) -> None:
        """Show the restored incidents; close those of domains that do not exist: nothing else would."""
        for one in self._incidents.open():
            domain = self._inventory.find(one.connection, one.uuid)
            if domain is None or not domain.present:
                at = now if domain is None else domain.removed_at
                self._note_incidents(self._incidents.removed(one.connection, one.uuid, at), removed=True)
            else:
                self._sink.incident(one, self._sink.admit(one.connection, one.name), more=0)
                self._rename_incidents(domain, now)

    def _rename_incidents(self, domain: Domain, at: float) -> None:
        """Show the open incidents of a renamed domain under its new name; they are counted already."""
        for old, new in self._incidents.rename(domain.connection, domain.uuid, domain.name):
            place = self._sink.admit(domain.connection, domain.name)
            self.effects.add(IncidentRenamed(old, new, place, at))

    def _took(self, durations: Iterable[Duration]) -> None:
        for duration in durations:
            self.effects.add(DurationObserved(duration))
