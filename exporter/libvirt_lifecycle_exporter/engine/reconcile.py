"""Compares libvirt's answers (listings and lookups) with what is known, and counts missed transitions.

An answer that contradicts what is known is accepted once it is confirmed (``contradictions``).

Invariant: missed transitions are counted first; then the answer refines what is known.
"""

from collections.abc import Callable

from libvirt_lifecycle_exporter.engine.change_collector import ChangeCollector
from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.contradictions import Contradictions
from libvirt_lifecycle_exporter.engine.filter_scope import FilterScope
from libvirt_lifecycle_exporter.engine.inventory import Inventory, Update
from libvirt_lifecycle_exporter.engine.missed_transitions import (
    UNKNOWN,
    facts_of_new_domain,
    is_transient,
    precedes,
)
from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, Records
from libvirt_lifecycle_exporter.model.messages import HostIdentified, Listing, Lookup
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Transition

_EVIDENCE_WINDOW = 5.0
"""Seconds before an answer in which a transition may be explained by the evidence of that answer."""
LISTING_THRESHOLD = 10
"""Number of domains under review above which one listing costs less than a lookup for each."""


HOST_REBOOTED = "host rebooted"
"""The message of a stop that is proved by a reboot of the host."""


class Reconciler:
    """Processes answers, and events that contradict what is known."""

    def __init__(
        self,
        records: Records,
        collector: ChangeCollector,
        inventory: Inventory,
        classifier: Classifier,
        filter_scope: FilterScope,
        *,
        loop_iterations: Callable[[], int],
        clock: Callable[[], float],
        next_order: Callable[[], int],
    ) -> None:
        """``loop_iterations``: returns the iterations of the event loop. ``clock``: Unix time, seconds."""
        self._records = records
        self._collector = collector
        self._inventory = inventory
        self._classifier = classifier
        self._filter_scope = filter_scope
        self._loop_iterations = loop_iterations
        self._clock = clock
        self._next_order = next_order
        self._contradictions = Contradictions(records)

    def note_gap(self, connection: str) -> None:
        """Record that events of the connection may have been missed until now."""
        self._contradictions.clear_all(connection)
        self._inventory.note_gap(connection, self._next_order())

    def infer_before(self, record: DomainRecord, change: Transition, order: int) -> bool:
        """Count what must have happened before this event; return whether there was anything."""
        if not self._inventory.infer_missed_before(record, change):
            return False
        known = record.domain
        answer = self._contradictions.pending(record, known.newest_order if known is not None else 0)
        if answer is not None and precedes(answer.facts, change):
            # An event that explains the answer would have arrived before this event.
            self._apply_missed(record, answer, order)
        for event, reason in self._inventory.infer_missed_before(record, change):
            self._infer(record, change._replace(event=event, reason=reason), order)
        return True

    def infer_host_reboot(self, host: HostIdentified) -> None:
        """Count the end of every run: no run outlives the host."""
        # Events between the boot and now were missed, also those of domains whose stop is counted here.
        self._inventory.note_gap(host.connection, host.order)
        for domain in self._inventory.of(host.connection):
            if not domain.present or (domain.state == INACTIVE and not domain.start_pending):
                continue
            record = self._records.get(host.connection, domain.uuid)
            who = (host.connection, domain.uuid, domain.name, domain.domain_id)
            stop = Transition(host.at, *who, "stopped", UNKNOWN, UNKNOWN, -1, "reconcile", HOST_REBOOTED)
            if domain.start_pending:
                self._infer(record, stop._replace(event="started", message=""), host.order)
            self._infer(record, stop, host.order)

    def apply_listing(self, listing: Listing) -> None:
        """Process a complete listing."""
        wanted = {facts.uuid: facts for facts in listing.domains if self._filter_scope.passes(facts.name)}
        connection, found = listing.connection, {facts.uuid: facts for facts in listing.domains}
        known = [domain.uuid for domain in self._inventory.of(connection) if domain.present]
        # Removed domains first, then renamed ones: another domain may have their name now.
        gone = [uuid for uuid in known if uuid not in wanted]
        for uuid in dict.fromkeys([*gone, *known, *wanted]):
            self._apply_facts(Lookup(listing.began, listing.at, connection, uuid, found.get(uuid), None))
        self._inventory.note_listed(connection, listing.began, listing.at)
        self._filter_scope.record_listing(connection, listing.at, wanted, self._collector.batch)
        for domain in self._inventory.of(connection):
            if domain.present and domain.details is None:
                self._collector.requests.look_up(connection, domain.uuid)

    def apply_lookup(self, lookup: Lookup) -> None:
        """Process an answer about one domain."""
        if lookup.facts is not None and not self._filter_scope.passes(lookup.facts.name):
            self._drop_filtered(lookup)
            return
        record = self._records.find(lookup.connection, lookup.uuid)
        if record is not None:
            for change in self._classifier.apply_lookup(record, lookup):
                self._collector.count(record, change, lookup.evidence)
        if lookup.evidence:
            since = lookup.at - _EVIDENCE_WINDOW
            self._collector.batch.messages.append((lookup.connection, lookup.uuid, since, lookup.evidence))
        if self._is_comparable(lookup):
            self._compare(lookup)

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        self._contradictions.shift(jump)

    def request_again(self, now: float) -> None:
        """Request the domains with a contradiction again, when it is time."""
        for connection, uuids in self._contradictions.due_requests(
            self._next_order(), now, self._loop_iterations()
        ).items():
            if len(uuids) > LISTING_THRESHOLD:
                self._collector.requests.listings.add(connection)
            else:
                self._collector.requests.lookups[connection].update(dict.fromkeys(uuids))

    def _is_comparable(self, lookup: Lookup) -> bool:
        """Return whether the domain would be known if it had existed before."""
        name = lookup.facts.name if lookup.facts is not None else ""
        was_there = self._filter_scope.is_excluded(lookup.connection, lookup.uuid)
        known = self._inventory.find(lookup.connection, lookup.uuid)
        return not was_there and self._inventory.covers(lookup.connection, known, name)

    def _apply_facts(self, lookup: Lookup) -> None:
        """Process what a listing says about one domain."""
        if lookup.facts is not None and not self._filter_scope.passes(lookup.facts.name):
            self._drop_filtered(lookup)
        elif self._is_comparable(lookup):
            self._compare(lookup)
        else:
            self._adopt(lookup)

    def _drop_filtered(self, lookup: Lookup) -> None:
        """Drop a domain whose new name the filter does not pass."""
        record = self._records.find(lookup.connection, lookup.uuid)
        if record is None or record.domain is None or self._is_stale(record.domain, lookup):
            return
        self._contradictions.clear(record)
        self._collector.drop_filtered(record, record.domain, lookup.at)

    def _is_stale(self, domain: Domain | None, lookup: Lookup) -> bool:
        """Return whether something newer than this answer is known; then request the domain again."""
        if domain is None or domain.newest_order <= lookup.began:
            return False
        self._collector.requests.look_up(lookup.connection, lookup.uuid)
        return True

    def _adopt(self, lookup: Lookup) -> None:
        """Take over a domain of the first listing. What happened before is not known."""
        record = self._records.get(lookup.connection, lookup.uuid)
        domain = record.domain
        if self._is_stale(domain, lookup):
            return
        facts = facts_of_new_domain(lookup.facts)
        if facts is not None:
            update = self._inventory.adopt(record, facts, lookup.at)
            self._collector.update_domain(record, update, lookup.at)
        elif domain is not None:
            changes = self._inventory.remove_unlisted(domain, lookup.at)
            self._collector.update_domain(record, Update(domain, changes, None), lookup.at)

    def _compare(self, lookup: Lookup) -> None:
        """Process an answer that refines what is known, or proves what was missed."""
        record = self._records.get(lookup.connection, lookup.uuid)
        known = record.domain
        if is_transient(lookup.facts) or self._is_stale(known, lookup):
            return
        if not self._inventory.infer_missed(record, lookup.facts):
            self._contradictions.clear(record)
        else:
            newest = known.newest_order if known is not None else 0
            now, iteration = self._clock(), self._loop_iterations()
            if not self._contradictions.confirm(
                record, lookup, newest_order=newest, now=now, iteration=iteration
            ):
                return
            self._apply_missed(record, lookup, lookup.began)
        known = record.domain
        if known is not None and self._inventory.apply_consistent(record, known, lookup):
            self._collector.update_domain(record, Update(known, [], None), lookup.at)

    def _apply_missed(self, record: DomainRecord, lookup: Lookup, order: int) -> None:
        """Count what must have happened before this answer."""
        domain = record.domain
        old = lookup.facts if domain is None else domain
        who = lookup.facts or domain
        if old is None or who is None:
            return
        for event, reason in self._inventory.infer_missed(record, lookup.facts):
            # A rename is counted under both names.
            name = old.name if (event, reason) == ("undefined", "renamed") else who.name
            inferred = Transition(
                lookup.at, *record.key, name, who.domain_id, event, reason, reason, -1, "reconcile"
            )
            self._infer(record, inferred, order)
        domain = record.domain
        if domain is not None and lookup.facts is not None:
            self._inventory.enter_reported_state(domain, lookup.facts, lookup.at)

    def _infer(self, record: DomainRecord, change: Transition, order: int) -> None:
        """Count a transition that was not observed."""
        inferred = change._replace(detail=change.reason, detail_code=-1, source="reconcile")
        known = record.domain
        if known is not None and inferred.domain_id <= 0 < known.early_shutdown_id:
            # A stopped domain has no id. After a shutdown event, it is that run that stopped.
            inferred = inferred._replace(domain_id=known.early_shutdown_id)
        has_early_shutdown = known is not None and known.has_early_shutdown(inferred.domain_id)
        waiting = self._classifier.close_verdict(record)
        if has_early_shutdown and inferred.event == "started":
            # The open verdict is the shutdown of this run, which began before that.
            inferred = inferred._replace(at=min([inferred.at, *(one.at for one in waiting)]))
        else:
            self._count(record, waiting)
            waiting = []
        self._collector.update_domain(record, self._inventory.apply(record, inferred, order), inferred.at)
        if inferred.event in ("started", "stopped") and not has_early_shutdown:
            # Observations of one run say nothing about another run.
            self._classifier.forget_run(record)
        self._count(record, [inferred, *waiting])

    def _count(self, record: DomainRecord, changes: list[Transition]) -> None:
        for change in changes:
            self._collector.count(record, change)
