"""What libvirt answers, compared with what is known: agreed, doubted, believed.

Law: as in ``reconcile`` and ``doubts``: what is believed is counted first and known after.
"""

from collections.abc import Callable

from libvirt_lifecycle_exporter.engine.bookkeeping import Bookkeeping
from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.contradictions import Contradictions
from libvirt_lifecycle_exporter.engine.filter_scope import FilterScope
from libvirt_lifecycle_exporter.engine.inference import UNKNOWN, first_facts, is_transient, precedes
from libvirt_lifecycle_exporter.engine.inventory import Inventory, Update
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import HostIdentified, Listing, Lookup
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Transition

_EVIDENCE_FOR = 5.0
"""Seconds before an answer in which what happened may be explained by the evidence that came with it."""
MANY = 10
"""Domains in doubt from which on a new listing costs less than a look at each."""


HOST_REBOOTED = "host rebooted"
"""The message of a stop that a reboot of the host proves."""


class Reconciler:
    """Takes in answers, and events that contradict what is known."""

    def __init__(
        self,
        records: Records,
        bookkeeping: Bookkeeping,
        inventory: Inventory,
        classifier: Classifier,
        filter_scope: FilterScope,
        *,
        turns: Callable[[], int],
        clock: Callable[[], float],
        draw_order: Callable[[], int],
    ) -> None:
        """``turns``: of the libvirt event loop."""
        self._bookkeeping = bookkeeping
        self._inventory = inventory
        self._classifier = classifier
        self._filter_scope = filter_scope
        self._turns = turns
        self._clock = clock
        self._draw_order = draw_order
        self._contradictions = Contradictions(records)

    def note_gap(self, connection: str) -> None:
        """Take in that the connection was lost, or is up again: something may have been missed until now."""
        self._contradictions.clear_all(connection)
        self._inventory.note_gap(connection, self._draw_order())

    def infer_before(self, change: Transition, order: int) -> bool:
        """Count what must have happened, unseen, before this; tell if there was anything."""
        if not self._inventory.infer_missed_before(change):
            return False
        key = (change.connection, change.uuid)
        known = self._inventory.find(*key)
        answer = self._contradictions.pending(key, known.newest if known is not None else 0)
        if answer is not None and precedes(answer.facts, change):
            # Had its event been on its way, it would have come before this one.
            self._accept(answer, order)
        for event, reason in self._inventory.infer_missed_before(change):
            self._infer(change._replace(event=event, reason=reason), order)
        return True

    def host_rebooted(self, seen: HostIdentified) -> None:
        """Count the end of every run: none outlives the host."""
        # Whatever began between the boot and now was missed, also of a domain whose stop is counted here.
        self._inventory.note_gap(seen.connection, seen.order)
        for domain in self._inventory.of(seen.connection):
            if not domain.present or (domain.state == INACTIVE and not domain.rising):
                continue
            who = (seen.connection, domain.uuid, domain.name, domain.domain_id)
            stop = Transition(seen.at, *who, "stopped", UNKNOWN, UNKNOWN, -1, "reconcile", HOST_REBOOTED)
            if domain.rising:
                self._infer(stop._replace(event="started", message=""), seen.order)
            self._infer(stop, seen.order)

    def apply_listing(self, snapshot: Listing) -> None:
        """Take in a complete listing."""
        wanted = {facts.uuid: facts for facts in snapshot.domains if self._filter_scope.passes(facts.name)}
        connection, found = snapshot.connection, {facts.uuid: facts for facts in snapshot.domains}
        known = [domain.uuid for domain in self._inventory.of(connection) if domain.present]
        # First those that are gone, then those that may have another name now: others may bear theirs.
        gone = [uuid for uuid in known if uuid not in wanted]
        for uuid in dict.fromkeys([*gone, *known, *wanted]):
            self._apply_facts(Lookup(snapshot.began, snapshot.at, connection, uuid, found.get(uuid), None))
        self._inventory.note_listed(connection, snapshot.began, snapshot.at)
        self._filter_scope.listed(connection, snapshot.at, wanted, self._bookkeeping.batch)
        for domain in self._inventory.of(connection):
            if domain.present and domain.details is None:
                self._bookkeeping.requests.look(connection, domain.uuid)

    def apply_lookup(self, look: Lookup) -> None:
        """Take in an answer about one domain."""
        if look.facts is not None and not self._filter_scope.passes(look.facts.name):
            self._drop_filtered(look)
            return
        self._bookkeeping.count(self._classifier.apply_lookup(look), look.evidence)
        if look.evidence:
            since = look.at - _EVIDENCE_FOR
            self._bookkeeping.batch.messages.append((look.connection, look.uuid, since, look.evidence))
        if self._is_comparable(look):
            self._compare(look)

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        self._contradictions.shift(jump)

    def request_again(self, now: float) -> None:
        """Ask about what is in doubt, when it is time."""
        for connection, uuids in self._contradictions.ask(self._draw_order(), now, self._turns()).items():
            if len(uuids) > MANY:
                self._bookkeeping.requests.snapshots.add(connection)
            else:
                self._bookkeeping.requests.looks[connection].update(dict.fromkeys(uuids))

    def _is_comparable(self, look: Lookup) -> bool:
        """Tell whether the domain would be known by now, had it been there before."""
        name = look.facts.name if look.facts is not None else ""
        was_there = self._filter_scope.has_left(look.connection, look.uuid)
        return not was_there and self._inventory.covers(look.connection, look.uuid, name)

    def _apply_facts(self, look: Lookup) -> None:
        """Take in what a listing says of one domain."""
        if look.facts is not None and not self._filter_scope.passes(look.facts.name):
            self._drop_filtered(look)
        elif self._is_comparable(look):
            self._compare(look)
        else:
            self._adopt(look)

    def _drop_filtered(self, look: Lookup) -> None:
        """Drop a domain that got a name of no interest: that was told, or nobody saw it."""
        domain = self._inventory.find(look.connection, look.uuid)
        if domain is None or self._is_stale(look):
            return
        self._contradictions.clear((look.connection, look.uuid))
        self._bookkeeping.lose(domain, look.at)

    def _is_stale(self, look: Lookup) -> bool:
        """Tell whether something newer is known than this answer; then libvirt is asked again."""
        domain = self._inventory.find(look.connection, look.uuid)
        if domain is None or domain.newest <= look.began:
            return False
        self._bookkeeping.requests.look(look.connection, look.uuid)
        return True

    def _adopt(self, look: Lookup) -> None:
        """Take in a domain of the first listing ever: what was before nobody knows."""
        if self._is_stale(look):
            return
        domain, facts = self._inventory.find(look.connection, look.uuid), first_facts(look.facts)
        if facts is not None:
            self._bookkeeping.tell(self._inventory.adopt(look.connection, facts, look.at), look.at)
        elif domain is not None:
            self._bookkeeping.tell(Update(domain, self._inventory.depart(domain, look.at), None), look.at)

    def _compare(self, look: Lookup) -> None:
        """Take in an answer about one domain: it refines what is known, or proves what was missed."""
        if is_transient(look.facts) or self._is_stale(look):
            return
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        if not self._inventory.infer_missed(*key, look.facts):
            self._contradictions.clear(key)
        else:
            newest = domain.newest if domain is not None else 0
            now, turn = self._clock(), self._turns()
            if not self._contradictions.confirm(look, newest=newest, now=now, turn=turn):
                return
            self._accept(look, look.began)
        known = self._inventory.find(*key)
        if known is not None and self._inventory.agree(known, look):
            self._bookkeeping.tell(Update(known, [], None), look.at)

    def _accept(self, look: Lookup, order: int) -> None:
        """Count what must have happened unseen before this answer."""
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        old = look.facts if domain is None else domain
        who = look.facts or domain
        if old is None or who is None:
            return
        for event, reason in self._inventory.infer_missed(*key, look.facts):
            # A rename is told under both names.
            name = old.name if (event, reason) == ("undefined", "renamed") else who.name
            self._infer(
                Transition(look.at, *key, name, who.domain_id, event, reason, reason, -1, "reconcile"),
                order,
            )
        domain = self._inventory.find(*key)
        if domain is not None and look.facts is not None:
            self._inventory.align(domain, look.facts, look.at)

    def _infer(self, change: Transition, order: int) -> None:
        """Count what nobody saw."""
        whole = change._replace(detail=change.reason, detail_code=-1, source="reconcile")
        known = self._inventory.find(change.connection, change.uuid)
        if known is not None and whole.domain_id <= 0 < known.ending:
            # What has stopped has no number. After a shutdown, it is the same run that has.
            whole = whole._replace(domain_id=known.ending)
        is_ending = known is not None and known.is_ending(whole.domain_id)
        waiting = self._classifier.close_verdict(change.connection, change.uuid)
        if is_ending and whole.event == "started":
            # What waits is the shutdown of this very run, which began before that.
            whole = whole._replace(at=min([whole.at, *(one.at for one in waiting)]))
        else:
            self._bookkeeping.count(waiting)
            waiting = []
        self._bookkeeping.tell(self._inventory.apply(whole, order), whole.at)
        if whole.event in ("started", "stopped") and not is_ending:
            # What was seen of one run says nothing about another.
            self._classifier.forget_run(whole.connection, whole.uuid)
        self._bookkeeping.count([whole, *waiting])
