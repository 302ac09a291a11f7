"""The one thread that owns diagnosis and inventory: takes messages, tells the sink.

Law: nothing here blocks but waiting for messages, and no message can stop it: what fails is logged,
counted and followed by a new snapshot.
"""

import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from libvirt_lifecycle_exporter.diagnosis import Diagnosis
from libvirt_lifecycle_exporter.inbox import Inbox
from libvirt_lifecycle_exporter.inventory import Domain, Inventory
from libvirt_lifecycle_exporter.transition import (
    InventoryChange,
    LinkDown,
    LinkUp,
    Look,
    Observation,
    Snapshot,
    Transition,
)

log = logging.getLogger(__name__)

_BATCH = 1000
_TICK = 1.0
_GATHER = 0.002
"""Seconds of rest after more than one message. libvirt's binding lets go of the interpreter lock several
times per callback; a worker that snatches it each time makes every event cost two thread switches."""
_NAMES_REMEMBERED = 65_536


class Sink(Protocol):
    """What the worker tells."""

    def count(self, change: Transition) -> None: ...
    def note(self, connection: str, change: InventoryChange) -> None: ...
    def link(self, connection: str, *, up: bool) -> None: ...
    def show(self, domain: Domain) -> None: ...
    def forget(self, domain: Domain) -> None: ...
    def expire(self, now: float) -> None: ...


class Asker(Protocol):
    """Whom the worker asks for more: a connection."""

    def want_snapshot(self) -> None: ...
    def want_looks(self, uuids: set[str]) -> None: ...


class DomainFilter:
    """Which domains are of interest, by name; expressions match the whole name, as in Prometheus."""

    def __init__(self, include: str = ".*", exclude: str = "") -> None:
        wanted, unwanted = re.compile(include, re.DOTALL), re.compile(exclude, re.DOTALL)

        @lru_cache(maxsize=_NAMES_REMEMBERED)
        def passes(name: str) -> bool:
            return wanted.fullmatch(name) is not None and unwanted.fullmatch(name) is None

        self.passes: Callable[[str], bool] = passes


class Worker:
    """Runs the pipeline."""

    def __init__(
        self,
        inbox: Inbox,
        sink: Sink,
        askers: Mapping[str, Asker],
        names: DomainFilter,
        *,
        memory: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``memory``: seconds that a removed domain is remembered."""
        self._inbox = inbox
        self._sink = sink
        self._askers = askers
        self._names = names
        self._memory = memory
        self._clock = clock
        self._diagnosis = Diagnosis()
        self._inventory = Inventory()
        self._looks: dict[str, set[str]] = defaultdict(set)
        self._up: dict[str, bool] = dict.fromkeys(askers, False)
        self._stopping = threading.Event()
        self._handlers: dict[type, Callable[[Any], None]] = {
            Observation: self._on_observation,
            Snapshot: self._on_snapshot,
            Look: self._on_look,
            LinkUp: self._on_link_up,
            LinkDown: self._on_link_down,
        }
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

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
        return any(self._inventory.is_listed(name) for name in self._askers)

    def down(self) -> list[str]:
        """Name the connections that are down."""
        return [name for name, up in self._up.items() if not up]

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
        for connection, uuids in self._looks.items():
            self._askers[connection].want_looks(uuids)
        self._looks.clear()
        return len(batch)

    def tick(self) -> None:
        """Let go of what is long gone."""
        now = self._clock()
        self._sink.expire(now)
        for domain in self._inventory.forget(now - self._memory):
            self._sink.forget(domain)

    def _run(self) -> None:
        due = time.monotonic() + _TICK
        while (handled := self.work(_TICK)) or not self._stopping.is_set():
            if handled > 1:
                time.sleep(_GATHER)
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK

    def _on_observation(self, seen: Observation) -> None:
        if not self._names.passes(seen.name):
            return
        self._looks[seen.connection].add(seen.uuid)
        change = self._diagnosis.conclude(seen)
        if change is None:
            return
        self._sink.count(change)
        domain, changes = self._inventory.apply(change, seen.order)
        self._tell(domain, changes)

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        wanted = tuple(facts for facts in snapshot.domains if self._names.passes(facts.name))
        touched, changes = self._inventory.take(snapshot._replace(domains=wanted))
        for change in changes:
            self._sink.note(snapshot.connection, change)
        for domain in touched:
            self._sink.show(domain)
        self._looks[snapshot.connection].update(
            domain.uuid
            for domain in self._inventory.of(snapshot.connection)
            if domain.present and (domain.details is None or domain.newest > snapshot.began)
        )

    def _on_look(self, look: Look) -> None:
        if look.facts is not None and not self._names.passes(look.facts.name):
            return
        domain, changes = self._inventory.correct(look)
        if domain is not None:
            self._tell(domain, changes)

    def _on_link_up(self, link: LinkUp) -> None:
        self._up[link.connection] = True
        self._sink.link(link.connection, up=True)

    def _on_link_down(self, link: LinkDown) -> None:
        self._up[link.connection] = False
        self._sink.link(link.connection, up=False)

    def _tell(self, domain: Domain, changes: list[InventoryChange]) -> None:
        for change in changes:
            self._sink.note(domain.connection, change)
        self._sink.show(domain)
