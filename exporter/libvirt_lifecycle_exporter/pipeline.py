"""What each message means: diagnosis, inventory, reconcile and incidents brought together.

No thread, no clock of its own, no file: what it comes to is collected in ``Effects``, and somebody else
writes and shows it.

Law: a message changes what is known, or nothing; what is counted is counted once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from libvirt_lifecycle_exporter.causes import Causes
from libvirt_lifecycle_exporter.diagnosis import DOUBTFUL, Diagnosis, named
from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.doubts import Doubts
from libvirt_lifecycle_exporter.effects import Effects, Memory
from libvirt_lifecycle_exporter.filter import DomainFilter
from libvirt_lifecycle_exporter.hangs import Hang, Hangs
from libvirt_lifecycle_exporter.incidents import Incident, Incidents
from libvirt_lifecycle_exporter.inventory import Inventory, Update
from libvirt_lifecycle_exporter.operations import Duration, Operations
from libvirt_lifecycle_exporter.ports import Sink
from libvirt_lifecycle_exporter.reconcile import at_first_sight, is_in_between, missed
from libvirt_lifecycle_exporter.silence import Patience
from libvirt_lifecycle_exporter.states import INACTIVE
from libvirt_lifecycle_exporter.stops import Stops
from libvirt_lifecycle_exporter.transition import (
    InventoryChange,
    LinkDown,
    LinkUp,
    Look,
    Message,
    Observation,
    Probed,
    Snapshot,
    Subject,
    Transition,
)
from libvirt_lifecycle_exporter.view import View
from libvirt_lifecycle_exporter.vocabulary import EXPLAINED, HUNG, LIFECYCLE
from libvirt_lifecycle_exporter.watches import Watches

_EVIDENCE_FOR = 5.0
"""Seconds before an answer in which what happened may be explained by the evidence that came with it."""
MANY = 10
"""Domains in doubt from which on a new listing costs less than a look at each."""

Key = tuple[str, str]
"""connection, uuid"""


class Wishes:
    """What the pipeline wants to know more about."""

    def __init__(self) -> None:
        self.looks: dict[str, dict[str, Subject | None]] = defaultdict(dict)
        """By connection: the domains to look at, and of whom evidence is wanted."""
        self.snapshots: set[str] = set()
        """Connections to list anew."""


class Pipeline:
    """Takes messages in; the worker's thread owns it."""

    def __init__(
        self,
        connections: Iterable[str],
        sink: Sink,
        names: DomainFilter,
        *,
        memory: float,
        turns: Callable[[], int],
        clock: Callable[[], float],
        draw_order: Callable[[], int],
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        """``memory``: seconds that a removed domain is remembered; ``turns``: of the libvirt event loop."""
        self._sink = sink
        self._view = View(names)
        self._memory = memory
        self._turns = turns
        self._clock = clock
        self._draw_order = draw_order
        self._diagnosis = Diagnosis()
        self._causes = Causes()
        self._inventory = Inventory()
        self._doubts = Doubts()
        self._incidents = Incidents()
        self._operations = Operations()
        self._hangs = Hangs(patience)
        self._effects = Effects()
        self._wishes = Wishes()
        self._lost: dict[str, int] = {}
        self._stops = Stops()
        self._watches = Watches(connections, sink)
        self._handlers: Mapping[type, Callable[[Any], None]] = {
            Observation: self._on_observation,
            Snapshot: self._on_snapshot,
            Look: self._on_look,
            LinkUp: self._on_link_up,
            LinkDown: self._on_link_down,
            Probed: lambda probed: self._count(self._hangs.probed(probed, self._inventory.find)),
        }

    def restore(self, memory: Memory) -> None:
        """Take over what was known before a restart; before ``start``."""
        here = self._view.restore(memory.only(self._watches.names()))
        self._inventory.restore(here.domains, self._view.before(here))
        for connection in here.watched_until:
            self._inventory.note_gap(connection, self._draw_order())
        self._sink.restore(here, self._clock())
        for domain in here.domains:
            self._sink.show(domain)
        self._hangs.restore(self._hanging(here), here.counts, self._clock())
        self._incidents.restore(here.incidents, self._hangs.signals)
        for incident in here.incidents:
            place = self._sink.admit(incident.connection, incident.name)
            self._sink.incident(incident, place, more=0)
        for domain in here.domains:
            self._note_hung(domain)
        self._watches.restore(here.watched_until)

    def remember(self) -> Memory:
        """Say everything that is to outlive a restart, as it is now."""
        counts, totals = self._sink.counted()
        domains, incidents = self._stops.written(self._inventory.all()), self._incidents.open()
        return self._view.remember(
            Memory(counts, totals, domains, self._watches.until(), incidents, self._sink.folded())
        )

    def ready(self) -> bool:
        """Tell whether at least one connection has been listed completely."""
        return self._watches.ready()

    def down(self) -> list[str]:
        """Name the connections that are down."""
        return self._watches.down()

    def note_gaps(self, lost: Mapping[str, int]) -> None:
        """Take in up to which order, by connection, observations got lost."""
        if lost != self._lost:
            self._lost = dict(lost)
            for connection, order in self._lost.items():
                self._inventory.note_gap(connection, order)

    def take(self, message: Message) -> None:
        """Take in one message."""
        self._handlers[type(message)](message)

    def tick(self) -> None:
        """Do what is due: verdicts, second questions, the end of what is long gone."""
        now = self._clock()
        self._count(self._diagnosis.tick(now))
        self._count(self._hangs.tick(now, self._inventory.find))
        self._ask_again(now)
        for domain in self._inventory.forget(now - self._memory):
            self._effects.forget(domain)
            self._diagnosis.forget(domain.connection, domain.uuid)
            self._operations.forget(domain.connection, domain.uuid)
            self._sink.forget(domain.connection, domain.name)
            self._hangs.forget(domain.connection, domain.uuid)
        self._effects.expired.extend(self._sink.expire(now))
        self._watches.note(now, self._effects)

    def conclude(self) -> None:
        """Give the verdicts that are open: there will be no more evidence."""
        self._count(self._diagnosis.tick(float("inf")))

    def harvest(self) -> tuple[Effects, Wishes]:
        """Return what has come up since the last time, fit to be written, and what is to be asked."""
        for (connection, _), changes in self._stops.settle(self._diagnosis.pending()):
            self._note(connection, changes)
        effects, wishes = self._effects, self._wishes
        self._effects, self._wishes = Effects(), Wishes()
        for domain in self._stops.written(effects.domains.values()):
            effects.touch(domain)
        effects.folded.update(self._sink.folded_lately())
        return effects, wishes

    def _on_observation(self, seen: Observation) -> None:
        if not self._view.passes(seen.name):
            return
        self._wishes.looks[seen.connection].setdefault(seen.uuid, None)
        change = named(seen)
        bridged = change is not None and seen.kind == LIFECYCLE and self._bridge(change, seen.order)
        known = self._inventory.find(seen.connection, seen.uuid)
        is_known = known is not None and known.present and not bridged
        state, reason = (known.state, known.reason) if known is not None and is_known else ("", "")
        if change is not None:
            self._effects.raw(change)
            self._effects.then(self._sink.raw, change.connection, change.event, change.detail)
        if change is not None and seen.kind == LIFECYCLE:
            if change.event == "stopped" and known is not None:
                self._note(seen.connection, self._stops.begin(known))
                if change.reason == DOUBTFUL:
                    subject = Subject(known.name, known.domain_id, change.event, change.reason, seen.at)
                    self._wishes.looks[seen.connection][seen.uuid] = subject
            self._tell(self._inventory.apply(change, seen.order), seen.at)
        elif known is not None:
            known.newest = seen.order
        self._count(self._diagnosis.see(seen, state, reason))
        if seen.kind == "agent_lifecycle":
            self._count(self._hangs.agent(seen))

    def _bridge(self, change: Transition, order: int) -> bool:
        """Count what must have happened, unseen, before this; tell if there was anything."""
        if not self._inventory.missed_before(change):
            return False
        key = (change.connection, change.uuid)
        known = self._inventory.find(*key)
        answer = self._doubts.pending(key, known.newest if known is not None else 0)
        if answer is not None:
            # Had its event been on its way, it would have come before this one.
            self._believe(answer, order)
        for event, reason in self._inventory.missed_before(change):
            self._infer(change._replace(event=event, reason=reason), order)
        return True

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        wanted = {facts.uuid: facts for facts in snapshot.domains if self._view.passes(facts.name)}
        connection, found = snapshot.connection, {facts.uuid: facts for facts in snapshot.domains}
        known = [domain.uuid for domain in self._inventory.of(connection) if domain.present]
        # First those that are gone, then those that may have another name now: others may bear theirs.
        gone = [uuid for uuid in known if uuid not in wanted]
        for uuid in dict.fromkeys([*gone, *known, *wanted]):
            self._take_in(Look(snapshot.began, snapshot.at, connection, uuid, found.get(uuid), None))
        self._inventory.note_listed(connection, snapshot.began)
        self._view.listed(connection, snapshot.at, wanted, self._effects)
        self._watches.listed(connection, snapshot.at, self._effects)
        for domain in self._inventory.of(connection):
            if domain.present and domain.details is None:
                self._wishes.looks[connection].setdefault(domain.uuid, None)

    def _on_look(self, look: Look) -> None:
        if look.facts is not None and not self._view.passes(look.facts.name):
            self._lose_sight(look)
            return
        self._count(self._diagnosis.learn(look), look.evidence)
        if look.evidence:
            since = look.at - _EVIDENCE_FOR
            self._effects.messages.append((look.connection, look.uuid, since, look.evidence))
        if self._is_comparable(look):
            self._learn(look)

    def _is_comparable(self, look: Look) -> bool:
        """Tell whether the domain would be known by now, had it been there before."""
        name = look.facts.name if look.facts is not None else ""
        was_there = self._view.has_left(look.connection, look.uuid)
        return not was_there and self._inventory.covers(look.connection, look.uuid, name)

    def _take_in(self, look: Look) -> None:
        """Take in what a listing says of one domain."""
        if look.facts is not None and not self._view.passes(look.facts.name):
            self._lose_sight(look)
        elif self._is_comparable(look):
            self._learn(look)
        else:
            self._adopt(look)

    def _lose_sight(self, look: Look) -> None:
        """Drop a domain that got a name of no interest: that was told, or nobody saw it."""
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        if domain is None or self._is_stale(look):
            return
        self._inventory.drop(domain)
        self._doubts.clear(key)
        self._diagnosis.forget(*key)
        self._operations.forget(*key)
        self._hangs.forget(*key)
        self._effects.forget(domain)
        for incident in self._incidents.removed(*key, look.at):
            self._effects.incident(incident)
            self._effects.then(self._sink.incident, incident)
        self._effects.then(self._sink.retire, look.connection, domain.name, look.uuid, look.at)

    def _is_stale(self, look: Look) -> bool:
        """Tell whether something newer is known than this answer; then libvirt is asked again."""
        domain = self._inventory.find(look.connection, look.uuid)
        if domain is None or domain.newest <= look.began:
            return False
        self._wishes.looks[look.connection].setdefault(look.uuid, None)
        return True

    def _adopt(self, look: Look) -> None:
        """Take in a domain of the first listing ever: what was before nobody knows."""
        if self._is_stale(look):
            return
        domain, facts = self._inventory.find(look.connection, look.uuid), at_first_sight(look.facts)
        if facts is not None:
            self._tell(self._inventory.adopt(look.connection, facts, look.at), look.at)
        elif domain is not None:
            self._tell(Update(domain, self._inventory.depart(domain, look.at), None), look.at)

    def _learn(self, look: Look) -> None:
        """Take in an answer about one domain: it refines what is known, or proves what was missed."""
        if is_in_between(look.facts) or self._is_stale(look):
            return
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        if not missed(domain, look.facts):
            self._doubts.clear(key)
        else:
            newest = domain.newest if domain is not None else 0
            now, turn = self._clock(), self._turns()
            if not self._doubts.confirm(look, newest=newest, now=now, turn=turn):
                return
            self._believe(look, look.began)
        known = self._inventory.find(*key)
        if known is not None and self._inventory.agree(known, look):
            self._tell(Update(known, [], None), look.at)

    def _believe(self, look: Look, order: int) -> None:
        """Count what must have happened unseen before this answer."""
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        old = look.facts if domain is None else domain
        who = look.facts or domain
        if old is None or who is None:
            return
        for event, reason in missed(domain, look.facts):
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
        self._count(self._diagnosis.conclude(change.connection, change.uuid))
        self._tell(self._inventory.apply(whole, order), whole.at)
        if whole.event in ("started", "stopped"):
            # What was seen of one run says nothing about another.
            self._diagnosis.forget(whole.connection, whole.uuid)
        self._count([whole])

    def _ask_again(self, now: float) -> None:
        for connection, uuids in self._doubts.ask(self._draw_order(), now, self._turns()).items():
            if len(uuids) > MANY:
                self._wishes.snapshots.add(connection)
            else:
                self._wishes.looks[connection].update(dict.fromkeys(uuids))

    def _on_link_up(self, link: LinkUp) -> None:
        self._watches.found(link, self._effects)
        self._inventory.note_gap(link.connection, self._draw_order())
        self._hangs.link(link.connection, link.at, up=True)

    def _on_link_down(self, link: LinkDown) -> None:
        self._hangs.link(link.connection, link.at, up=False)
        self._watches.lost(link, self._effects)
        self._doubts.clear_all(link.connection)
        self._inventory.note_gap(link.connection, self._draw_order())

    def _count(self, changes: Iterable[Transition], message: str = "") -> None:
        for change in map(self._causes.explain, changes):
            domain = self._inventory.find(change.connection, change.uuid)
            run = domain
            if change.event == "stopped":
                key = (change.connection, change.uuid)
                # A verdict may be given when the next run has begun already.
                run = self._stops.before(key) or domain
                self._note(change.connection, self._stops.counted(key))
            run_id = "" if run is None else run.run_id
            incident_id, incidents = self._incidents.take(change)
            whole = change._replace(run_id=run_id, incident_id=incident_id, message=change.message or message)
            if not whole.message and (change.event, change.reason) in EXPLAINED:
                subject = Subject(change.name, change.domain_id, change.event, change.reason, change.at)
                self._wishes.looks[change.connection][change.uuid] = subject
            if domain is not None:
                self._effects.touch(domain)
            place = self._sink.place(whole)
            self._effects.count(whole, place)
            self._effects.then(self._sink.count, whole, place)
            self._took(self._operations.take(whole))
            self._note_incidents(incidents)
            if domain is None or not domain.present:
                gone = self._incidents.removed(change.connection, change.uuid, change.at)
                self._note_incidents(gone, removed=True)
            if domain is None:
                self._effects.then(self._sink.retire, whole.connection, whole.name, whole.uuid, whole.at)
            elif not domain.present:
                self._effects.then(self._sink.show, domain)
            more = self._hangs.see(whole)
            if domain is not None:
                self._note_hung(domain)
            self._count(more)

    def _note(self, connection: str, changes: Iterable[InventoryChange]) -> None:
        for change in changes:
            self._effects.note(connection, change)
            self._effects.then(self._sink.note, connection, change)

    def _hanging(self, memory: Memory) -> Iterator[Hang]:
        """The hangs that were open and may be still; what is off hangs no longer."""
        for one in memory.incidents:
            domain = self._inventory.find(one.connection, one.uuid)
            if one.kind == HUNG and domain is not None and domain.present and domain.state != INACTIVE:
                yield Hang(one.connection, one.uuid, domain.name, one.opened_at)

    def _note_hung(self, domain: Domain) -> None:
        hung = self._hangs.signals(domain.connection, domain.uuid)
        if hung != domain.hung:
            domain.hung = hung
            self._diagnosis.note_hung(domain.connection, domain.uuid, bool(hung))
            self._effects.then(self._sink.show, domain)

    def _note_incidents(self, incidents: Iterable[Incident], *, removed: bool = False) -> None:
        for incident in incidents:
            is_open = incident.closed_at is None
            place = self._sink.admit(incident.connection, incident.name) if is_open else ""
            self._effects.incident(incident, place)
            self._effects.then(self._sink.incident, incident, place)
            self._took(self._operations.incident_closed(incident, removed=removed))

    def _took(self, durations: Iterable[Duration]) -> None:
        for duration in durations:
            self._effects.took(duration)
            self._effects.then(self._sink.took, duration)

    def _tell(self, update: Update, at: float) -> None:
        domain = update.domain
        self._note(domain.connection, self._stops.hold((domain.connection, domain.uuid), update.changes))
        if update.left is not None:
            self._effects.then(self._sink.retire, domain.connection, update.left, domain.uuid, at)
        if domain.present:
            self._sink.admit(domain.connection, domain.name)
        self._effects.touch(domain)
        self._effects.then(self._sink.show, domain)
