"""Modelled domains, and the record of all their events."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainFacts, RunEvidence


class ModelEvent(NamedTuple):
    """An event of the model, whether libvirt sends it or not."""

    at: float
    uuid: str
    name: str
    domain_id: int
    event: str
    detail: str
    """The detail that libvirt sends."""
    verdict: str
    """The true reason, in the vocabulary of the exporter."""
    provable: str
    """The reason that the later state of libvirt proves."""


@dataclass
class Guest:
    """A domain, existing or not."""

    uuid: str
    name: str
    exists: bool = False
    persistent: bool = False
    state: str = "shutoff"
    reason: str = "unknown"
    number: int = -1
    process_start: int = 0
    """Start time of the emulator; different for each run."""
    saved: bool = False
    open_incidents: set[str] = field(default_factory=set)
    """Kinds of the incidents that are open if every event is observed."""
    incidents: Counter[str] = field(default_factory=Counter)
    """Number of incidents by kind."""
    causes: Counter[str] = field(default_factory=Counter)

    def active(self) -> bool:
        return self.exists and runs(self.facts())

    def facts(self) -> DomainFacts:
        is_off = self.state == "shutoff"
        return DomainFacts(
            self.uuid,
            self.name,
            self.number,
            self.state,
            self.reason,
            self.persistent,
            autostart=False,
            run_evidence=NO_EVIDENCE if is_off else RunEvidence(self.process_start),
        )


def runs(facts: DomainFacts) -> bool:
    return facts.state != "shutoff" and facts.reason != "starting_up"


class HypervisorState:
    """All domains of the model."""

    def __init__(self, clock: Callable[[], float], send: Callable[[ModelEvent], None]) -> None:
        self._clock, self._send = clock, send
        self.guests = {f"uuid-{name}": Guest(f"uuid-{name}", name) for name in ("a", "b", "c")}
        self.events: list[ModelEvent] = []
        self.number = 0
        """The newest domain id of libvirt."""
        self._runs = 0

    def now(self) -> float:
        return self._clock()

    def record(
        self,
        guest: Guest,
        event: str,
        detail: str,
        provable: str = "",
        *,
        verdict: str = "",
        send: bool = True,
        at: float = 0.0,
    ) -> None:
        """Record an event; libvirt sends it unless ``send`` is False."""
        event_ = ModelEvent(
            at or self.now(),
            guest.uuid,
            guest.name,
            guest.number,
            event,
            detail,
            verdict or detail,
            provable or verdict or detail,
        )
        self.events.append(event_)
        if (event == "started" and detail != "migrated") or event == "resumed":
            guest.open_incidents.clear()
        if send:
            self._send(event_)

    def record_cause(self, guest: Guest, kind: str) -> None:
        guest.causes[kind] += 1
        if kind not in guest.open_incidents:
            guest.open_incidents.add(kind)
            guest.incidents[kind] += 1

    def begin_run(self, guest: Guest) -> None:
        self.number += 1
        self._runs += 1
        guest.process_start = self._runs
        guest.exists, guest.number, guest.saved = True, self.number, False
        guest.state, guest.reason = "paused", "starting_up"

    def end_run(
        self, guest: Guest, detail: str, reason: str, *, verdict: str = "", send: bool = True
    ) -> None:
        guest.state, guest.reason, guest.number = "shutoff", reason, -1
        guest.exists = guest.persistent
        if guest.exists:
            self.record(guest, "stopped", detail, reason, verdict=verdict, send=send)
        else:
            self.record(guest, "stopped", detail, "unknown", verdict=verdict, send=send)
            guest.open_incidents.clear()
            # A later domain with the same UUID is another one, which has not ended.
            guest.reason = "unknown"
