"""The one thread that owns diagnosis and inventory: takes messages, writes the journal, tells the sink.

Law: what happened is in the journal before it is shown. Nothing here blocks but waiting for messages, and
no message can stop it: what fails is logged, counted and followed by a new snapshot.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from libvirt_lifecycle_exporter.diagnosis import DOUBTFUL, Diagnosis, named
from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.doubts import Doubts
from libvirt_lifecycle_exporter.effects import CountKey, Effects, Memory, TotalKey
from libvirt_lifecycle_exporter.filter import DomainFilter
from libvirt_lifecycle_exporter.inbox import Inbox
from libvirt_lifecycle_exporter.incidents import Incident, Incidents
from libvirt_lifecycle_exporter.inventory import Inventory, Update
from libvirt_lifecycle_exporter.operations import Duration, Operations
from libvirt_lifecycle_exporter.reconcile import missed
from libvirt_lifecycle_exporter.transition import (
    InventoryChange,
    LinkDown,
    LinkUp,
    Look,
    Observation,
    Snapshot,
    Subject,
    Transition,
)
from libvirt_lifecycle_exporter.vocabulary import EXPLAINED, LIFECYCLE

log = logging.getLogger(__name__)

_BATCH = 1000
_TICK = 0.25
"""Seconds; a verdict, a second question and the journal's mending wait for it."""
_GATHER = 0.002
"""Seconds of rest after more than one message. libvirt's binding lets go of the interpreter lock several
times per callback; a worker that snatches it each time makes every event cost two thread switches."""
_MANY = 10
"""Domains in doubt from which on a new listing costs less than a look at each."""


class Sink(Protocol):
    """What the worker tells."""

    def count(self, change: Transition) -> None: ...
    def note(self, connection: str, change: InventoryChange) -> None: ...
    def link(self, connection: str, *, up: bool) -> None: ...
    def incident(self, incident: Incident, more: int = 1) -> None: ...
    def took(self, duration: Duration) -> None: ...
    def reconnect(self, connection: str) -> None: ...
    def blind(self, connection: str, seconds: float) -> None: ...
    def show(self, domain: Domain) -> None: ...
    def retire(self, connection: str, name: str, uuid: str, at: float) -> None: ...
    def expire(self, now: float) -> list[tuple[str, str]]: ...
    def restore(self, memory: Memory, now: float) -> None: ...
    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]: ...


class Remembers(Protocol):
    """The journal, or what stands in its place."""

    def append(self, effects: Effects) -> None: ...
    def tend(self, now: Callable[[], Memory]) -> None: ...


class Asker(Protocol):
    """Whom the worker asks for more: a connection."""

    def want_snapshot(self) -> None: ...
    def want_looks(self, uuids: Mapping[str, Subject | None]) -> None: ...


_EVIDENCE_FOR = 5.0
"""Seconds before an answer in which what happened may be explained by the evidence that came with it."""
_WATCH_NOTED = 1.0
"""Seconds between notes of until when a connection was watched."""


@dataclass(slots=True)
class Watch:
    """What is known of a connection itself."""

    up: bool = False
    lost: bool = False
    """It was up, and is to be opened again."""
    listed: bool = False
    """By this process."""
    until: float = 0.0
    """Until when nothing was missed; 0: it was never watched."""


class Worker:
    """Runs the pipeline."""

    def __init__(
        self,
        inbox: Inbox,
        sink: Sink,
        journal: Remembers,
        askers: Mapping[str, Asker],
        names: DomainFilter,
        *,
        memory: float,
        turns: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``memory``: seconds that a removed domain is remembered; ``turns``: of the libvirt event loop."""
        self._inbox = inbox
        self._sink = sink
        self._journal = journal
        self._askers = askers
        self._names = names
        self._memory = memory
        self._turns = turns
        self._clock = clock
        self._diagnosis = Diagnosis()
        self._inventory = Inventory()
        self._doubts = Doubts()
        self._incidents = Incidents()
        self._operations = Operations()
        self._effects = Effects()
        self._before: dict[tuple[str, str], Domain] = {}
        """Domains as they were before a stop whose verdict may still be open."""
        self._looks: dict[str, dict[str, Subject | None]] = defaultdict(dict)
        self._watch = {name: Watch() for name in askers}
        self._stopping = threading.Event()
        self._handlers: dict[type, Callable[[Any], None]] = {
            Observation: self._on_observation,
            Snapshot: self._on_snapshot,
            Look: self._on_look,
            LinkUp: self._on_link_up,
            LinkDown: self._on_link_down,
        }
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def restore(self, memory: Memory) -> None:
        """Take over what was known before a restart; before ``start``."""
        here = memory.only(self._askers)
        self._inventory.restore(here.domains, here.watched_until)
        self._sink.restore(here, self._clock())
        for domain in here.domains:
            self._sink.show(domain)
        self._incidents.restore(here.incidents)
        for incident in here.incidents:
            self._sink.incident(incident, more=0)
        for name, until in here.watched_until.items():
            self._watch[name].until = until

    def _remember(self) -> Memory:
        """Say everything that is to outlive a restart, as it is now."""
        counts, totals = self._sink.counted()
        watched = {name: watch.until for name, watch in self._watch.items() if watch.until}
        return Memory(counts, totals, self._inventory.all(), watched, self._incidents.open())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Take in what is queued, then end."""
        self._stopping.set()
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Tell whether the pipeline runs."""
        return self._thread.is_alive()

    def ready(self) -> bool:
        """Tell whether at least one connection has been listed completely."""
        return any(watch.listed for watch in self._watch.values())

    def down(self) -> list[str]:
        """Name the connections that are down."""
        return [name for name, watch in self._watch.items() if not watch.up]

    def work(self, timeout: float = 0.0) -> int:
        """Take in what is queued (wait up to ``timeout`` seconds for it); return how many messages it was."""
        batch = self._inbox.take(_BATCH, timeout)
        for message in batch:
            try:
                self._handlers[type(message)](message)
            except Exception:
                log.exception("could not take in %s", type(message).__name__)
                self._inbox.dropped["worker_error"] += 1
                self._askers[message.connection].want_snapshot()
        self._finish()
        return len(batch)

    def tick(self) -> None:
        """Do what is due: verdicts, second questions, the end of what is long gone, the journal's mending."""
        now = self._clock()
        self._count(self._diagnosis.tick(now))
        self._ask_again(now)
        for domain in self._inventory.forget(now - self._memory):
            self._effects.forgotten.append(domain)
            self._diagnosis.forget(domain.connection, domain.uuid)
            self._operations.forget(domain.connection, domain.uuid)
        self._effects.expired.extend(self._sink.expire(now))
        for name, watch in self._watch.items():
            if watch.up and watch.listed and now - watch.until >= _WATCH_NOTED:
                watch.until = self._effects.watched_until[name] = now
        self._finish()
        self._journal.tend(self._remember)

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while (handled := self.work(_TICK)) or not self._stopping.is_set():
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK
            if handled > 1:
                time.sleep(_GATHER)
        self._count(self._diagnosis.tick(float("inf")))
        self._finish()

    def _finish(self) -> None:
        """Write what the batch came to, then show it, then ask for what is not known."""
        effects = self._effects
        if effects:
            for key in self._diagnosis.pending() & effects.domains.keys():
                # Its verdict is open: should we die now, the state before is what finds the stop again.
                effects.domains[key] = self._before.get(key, effects.domains[key])
            self._journal.append(effects)
        effects.show()
        self._effects = Effects()
        self._before = {
            key: domain for key, domain in self._before.items() if key in self._diagnosis.pending()
        }
        for connection, uuids in self._looks.items():
            self._askers[connection].want_looks(uuids)
        self._looks.clear()

    def _on_observation(self, seen: Observation) -> None:
        if not self._names.passes(seen.name):
            return
        self._looks[seen.connection].setdefault(seen.uuid, None)
        known = self._inventory.find(seen.connection, seen.uuid)
        state, reason = (known.state, known.reason) if known is not None and known.present else ("", "")
        change = named(seen) if seen.kind == LIFECYCLE else None
        if change is not None:
            if change.event == "stopped" and known is not None:
                self._before[seen.connection, seen.uuid] = replace(known)
                if change.reason == DOUBTFUL:
                    self._looks[seen.connection][seen.uuid] = Subject(known.name, known.domain_id)
            self._tell(self._inventory.apply(change, seen.order), seen.at)
        elif known is not None:
            known.newest = seen.order
        self._count(self._diagnosis.see(seen, state, reason))

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        wanted = {facts.uuid: facts for facts in snapshot.domains if self._names.passes(facts.name)}
        connection = snapshot.connection
        known = {domain.uuid for domain in self._inventory.of(connection) if domain.present}
        learn = self._learn if self._inventory.is_listed(connection) else self._adopt
        for uuid in [*wanted, *(known - wanted.keys())]:
            learn(Look(snapshot.began, snapshot.at, connection, uuid, wanted.get(uuid), None))
        self._inventory.note_listed(connection)
        self._watch[connection].listed = True
        for domain in self._inventory.of(connection):
            if domain.present and domain.details is None:
                self._looks[connection].setdefault(domain.uuid, None)

    def _on_look(self, look: Look) -> None:
        if look.facts is not None and not self._names.passes(look.facts.name):
            return
        self._count(self._diagnosis.learn(look), look.evidence)
        if look.evidence:
            since = look.at - _EVIDENCE_FOR
            self._effects.messages.append((look.connection, look.uuid, since, look.evidence))
        if self._inventory.is_listed(look.connection):
            self._learn(look)

    def _is_stale(self, look: Look) -> bool:
        """Tell whether something newer is known than this answer; then libvirt is asked again."""
        domain = self._inventory.find(look.connection, look.uuid)
        if domain is None or domain.newest <= look.began:
            return False
        self._looks[look.connection].setdefault(look.uuid, None)
        return True

    def _adopt(self, look: Look) -> None:
        """Take in a domain of the first listing ever: what was before nobody knows."""
        if self._is_stale(look):
            return
        domain = self._inventory.find(look.connection, look.uuid)
        if look.facts is not None:
            self._tell(self._inventory.adopt(look.connection, look.facts, look.at), look.at)
        elif domain is not None:
            self._tell(Update(domain, self._inventory.depart(domain, look.at), None), look.at)

    def _learn(self, look: Look) -> None:
        """Take in an answer about one domain: it refines what is known, or proves that something was missed."""
        if self._is_stale(look):
            return
        key = (look.connection, look.uuid)
        domain = self._inventory.find(*key)
        pairs = missed(domain, look.facts)
        if not pairs:
            self._doubts.clear(key)
        else:
            newest = domain.newest if domain is not None else 0
            now, turn = self._clock(), self._turns()
            if not self._doubts.confirm(key, newest=newest, began=look.began, now=now, turn=turn):
                return
            self._believe(look, domain, pairs)
        known = self._inventory.find(*key)
        if known is None or look.facts is None:
            return
        if self._inventory.refine(known, look.facts, look.details):
            self._tell(Update(known, [], None), look.at)

    def _believe(self, look: Look, domain: Domain | None, pairs: Iterable[tuple[str, str]]) -> None:
        """Count what must have happened unseen."""
        old = look.facts if domain is None else domain
        who = look.facts or domain
        if old is None or who is None:
            return
        for event, reason in pairs:
            # A rename is told under both names.
            name = old.name if (event, reason) == ("undefined", "renamed") else who.name
            change = Transition(
                look.at,
                look.connection,
                look.uuid,
                name,
                who.domain_id,
                event,
                reason,
                reason,
                -1,
                "reconcile",
            )
            self._tell(self._inventory.apply(change, look.began), look.at)
            if event in ("started", "stopped"):
                # What was seen of one run says nothing about another.
                self._diagnosis.forget(look.connection, look.uuid)
            self._count([change])

    def _ask_again(self, now: float) -> None:
        for connection, uuids in self._doubts.ask(self._inbox.next_order(), now, self._turns()).items():
            if len(uuids) > _MANY:
                self._askers[connection].want_snapshot()
            else:
                self._looks[connection].update(dict.fromkeys(uuids))

    def _on_link_up(self, link: LinkUp) -> None:
        watch = self._watch[link.connection]
        if watch.lost:
            self._effects.totals[link.connection, "reconnect", "", ""] += 1
            self._effects.then(self._sink.reconnect, link.connection)
        watch.up, watch.lost = True, False
        if watch.until:
            blind = max(0.0, link.at - watch.until)
            self._effects.totals[link.connection, "unobserved", "", ""] += blind
            self._effects.then(self._sink.blind, link.connection, blind)
        watch.until = self._effects.watched_until[link.connection] = link.at
        self._effects.then(self._show_link, link.connection)

    def _on_link_down(self, link: LinkDown) -> None:
        watch = self._watch[link.connection]
        if watch.up:
            watch.until = self._effects.watched_until[link.connection] = link.at
            self._doubts.clear_all(link.connection)
            watch.lost = True
        watch.up = False
        self._effects.then(self._show_link, link.connection)

    def _show_link(self, connection: str) -> None:
        self._sink.link(connection, up=self._watch[connection].up)

    def _count(self, changes: Iterable[Transition], message: str = "") -> None:
        for change in changes:
            domain = self._inventory.find(change.connection, change.uuid)
            before = self._before.get((change.connection, change.uuid), domain)
            # A verdict may be given when the next run has begun already.
            run = before if change.event == "stopped" else domain
            run_id = "" if run is None else run.run_id
            incident_id, incidents = self._incidents.take(change)
            whole = change._replace(run_id=run_id, incident_id=incident_id, message=change.message or message)
            if not whole.message and (change.event, change.reason) in EXPLAINED:
                self._looks[change.connection][change.uuid] = Subject(change.name, change.domain_id)
            if domain is not None:
                self._effects.touch(domain)
            self._effects.count(whole)
            self._effects.then(self._sink.count, whole)
            self._took(self._operations.take(whole))
            self._note_incidents(incidents)
            if domain is None or not domain.present:
                gone = self._incidents.removed(change.connection, change.uuid, change.at)
                self._note_incidents(gone, removed=True)

    def _note_incidents(self, incidents: Iterable[Incident], *, removed: bool = False) -> None:
        for incident in incidents:
            self._effects.incident(incident)
            self._effects.then(self._sink.incident, incident)
            self._took(self._operations.incident_closed(incident, removed=removed))

    def _took(self, durations: Iterable[Duration]) -> None:
        for duration in durations:
            self._effects.took(duration)
            self._effects.then(self._sink.took, duration)

    def _tell(self, update: Update, at: float) -> None:
        domain = update.domain
        for change in update.changes:
            self._effects.note(domain.connection, change)
            self._effects.then(self._sink.note, domain.connection, change)
        if update.left is not None:
            self._effects.then(self._sink.retire, domain.connection, update.left, domain.uuid, at)
        self._effects.touch(domain)
        self._effects.then(self._sink.show, domain)
