"""Modelled domains, and the record of what really happened to them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainFacts, RunEvidence


class Happened(NamedTuple):
    """What really happened, whether anybody was told or not."""

    at: float
    uuid: str
    name: str
    domain_id: int
    event: str
    detail: str
    """libvirt's word."""
    verdict: str
    """What it means; of libvirt's words and ours."""
    provable: str
    """Why, as far as libvirt's state tells afterwards."""


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
    """Of the emulator; another for each run."""
    saved: bool = False
    ailing: set[str] = field(default_factory=set)
    """Kinds of incident that are open, if somebody saw them all."""
    incidents: Counter[str] = field(default_factory=Counter)
    """How many there were, by kind."""
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


class Stage:
    """Where it happens."""

    def __init__(self, clock: Callable[[], float], send: Callable[[Happened], None]) -> None:
        self._clock, self._send = clock, send
        self.guests = {f"uuid-{name}": Guest(f"uuid-{name}", name) for name in ("a", "b", "c")}
        self.happened: list[Happened] = []
        self.number = 0
        """libvirt's newest number of a run."""
        self._runs = 0

    def now(self) -> float:
        return self._clock()

    def tell(
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
        """Something happened; libvirt says so unless ``send`` is False."""
        happened = Happened(
            at or self.now(),
            guest.uuid,
            guest.name,
            guest.number,
            event,
            detail,
            verdict or detail,
            provable or verdict or detail,
        )
        self.happened.append(happened)
        if (event == "started" and detail != "migrated") or event == "resumed":
            guest.ailing.clear()
        if send:
            self._send(happened)

    def cause(self, guest: Guest, kind: str) -> None:
        guest.causes[kind] += 1
        if kind not in guest.ailing:
            guest.ailing.add(kind)
            guest.incidents[kind] += 1

    def begins(self, guest: Guest) -> None:
        self.number += 1
        self._runs += 1
        guest.process_start = self._runs
        guest.exists, guest.number, guest.saved = True, self.number, False
        guest.state, guest.reason = "paused", "starting_up"

    def ends(self, guest: Guest, detail: str, reason: str, *, verdict: str = "", send: bool = True) -> None:
        guest.state, guest.reason, guest.number = "shutoff", reason, -1
        guest.exists = guest.persistent
        if guest.exists:
            self.tell(guest, "stopped", detail, reason, verdict=verdict, send=send)
        else:
            self.tell(guest, "stopped", detail, "unknown", verdict=verdict, send=send)
            guest.ailing.clear()
            # Should one be defined with its uuid, that is another domain, which has not ended.
            guest.reason = "unknown"
