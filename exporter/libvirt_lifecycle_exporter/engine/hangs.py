"""Pure: probes become ``hung`` and ``recovered``: is this domain hung, by which signal, since when, and why?

Law: for each domain and signal ``hung`` and ``recovered`` take turns, ``hung`` first. Silence counts only as
long as it has no other excuse: the domain runs (``EXCUSED``), nothing has happened to it meanwhile, and its
connection has been up. What libvirt does not answer proves nothing; no clock, no I/O, no libvirt. ``silence``
says how long is long enough.

                 silent                 silent for long enough, seen twice
    well -----------------> suspected ------------------------------------> hung
     ^  <- answered, excused -'                                              |
     '------------------------------- answered (recovered), or the run ends -'

What was open when the exporter ended is taken over as it was: the next answer says if it has recovered.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.hang_signals import (
    GUEST_AGENT,
    JUDGES,
    PATIENT,
    VCPU,
    Case,
    HangThresholds,
)
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.messages import Observation, ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import HANG_SIGNALS, HUNG, RECOVERED

Key = tuple[str, str]
"""connection, uuid"""

WATCHDOG: Final = "watchdog"

RUNS: Final = frozenset({"running", "blocked"})
EXCUSED: Final = frozenset({("running", "postcopy"), ("running", "postcopy_failed")})
"""Paused by the user, for a save, a dump, a snapshot or a migration, shutting down: all are states of their
own. Of those that run, excused are the ones whose memory is still elsewhere."""

RESTARTS: Final = frozenset(
    {"started", "resumed", "suspended", "pmsuspended", "shutdown", "crashed", "rebooted", "stopped"}
)
"""Events after which silence is counted from zero."""
WAKES: Final = ("started", "wakeup")
"""It began before: this is no other run."""
HEALS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "rebooted": True,
        "resumed": True,
        "watchdog": False,
        "suspended": False,
        "pmsuspended": False,
        "shutdown": False,
        "crashed": False,
    }
)
"""Event -> whether a guest whose watchdog ran out is on its way to be well again."""

CONNECTED: Final = 1
"""virConnectDomainEventAgentLifecycleState: the guest holds its end of the agent's channel open."""


Counts = Mapping[tuple[str, str, str, str], tuple[int, float]]
"""(connection, domain's name, event, reason) -> how often, and when last"""


class Hang(NamedTuple):
    """A hang that was open before a restart."""

    connection: str
    uuid: str
    name: str
    since: float
    """When its incident began."""


@dataclass(slots=True)
class _Patient:
    """One domain."""

    changed: float = 0.0
    """When something happened to it that excuses silence before."""
    cases: dict[str, Case] = field(default_factory=dict)

    def case(self, signal: str) -> Case:
        return self.cases.setdefault(signal, Case())


class Hangs:
    """Decides who is hung."""

    def __init__(self, patience: HangThresholds = PATIENT) -> None:
        self._patience = patience
        self._patients: dict[Key, _Patient] = {}
        self._up: dict[str, float | None] = {}
        """Since when each connection has been up; None: it is down."""
        self._healing: set[Key] = set()

    def link(self, connection: str, at: float, *, up: bool) -> None:
        """Take in that a connection is up, or down: silence meanwhile is its own."""
        self._up[connection] = at if up else None
        for (where, _), patient in self._patients.items():
            if where == connection:
                patient.changed = max(patient.changed, at)
                for case in patient.cases.values():
                    case.restart()

    def probed(self, probed: ProbeResults, find: Callable[[str, str], Domain | None]) -> list[Transition]:
        """Return what the answers to probes mean; ``find``: what is known of a domain."""
        since = self._up.get(probed.connection)
        if since is None:
            return []
        found: list[Transition] = []
        for answer in probed.answers:
            domain = find(probed.connection, answer.uuid)
            if domain is not None and domain.present:
                found += self._judged(since, domain, probed, answer)
        return found

    def see(self, change: Transition) -> list[Transition]:
        """Return what a transition of the domain means for its hangs; call it for every one that counts."""
        key = (change.connection, change.uuid)
        if change.event in ("stopped", "started") and (change.event, change.reason) != WAKES:
            self._end(key, change.at)
        patient = self._patients.get(key)
        if patient is not None and change.event in RESTARTS:
            patient.changed = max(patient.changed, change.at)
            for case in patient.cases.values():
                case.restart()
        if change.event in HEALS:
            return self._watchdog(key, change)
        return []

    def agent(self, seen: Observation) -> list[Transition]:
        """Return what AGENT_LIFECYCLE means: a guest that closes the agent's channel is alive."""
        patient = self._patients.get((seen.connection, seen.uuid))
        case = patient.cases.get(GUEST_AGENT) if patient is not None else None
        if case is None or seen.event == CONNECTED:
            return []
        case.misses, case.trusted = 0, False
        if case.hung_at is None:
            return []
        case.hung_at = None
        why = "the guest has closed the agent's channel, and so it is alive"
        return [
            Transition(
                seen.at,
                seen.connection,
                seen.uuid,
                seen.name,
                seen.domain_id,
                RECOVERED,
                GUEST_AGENT,
                GUEST_AGENT,
                -1,
                "callback",
                why,
            )
        ]

    def tick(self, now: float, find: Callable[[str, str], Domain | None]) -> list[Transition]:
        """Return the guests that have run on for long enough after their watchdog ran out."""
        found = []
        for key in list(self._healing):
            domain, case = find(*key), self._patients[key].cases[WATCHDOG]
            if domain is None or case.healing is None or domain.state not in RUNS:
                continue
            case.healing = min(case.healing, now)  # the clock may have stepped back
            if now - case.healing >= self._patience.watchdog:
                why = f"the guest has run on for {now - case.healing:.0f} s"
                case.hung_at = case.healing = None
                self._healing.discard(key)
                found.append(_of(domain, RECOVERED, WATCHDOG, now, why))
        return found

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for connection, since in self._up.items():
            if since is not None:
                self._up[connection] = since + jump
        for patient in self._patients.values():
            patient.changed += jump
            for case in patient.cases.values():
                case.shift(jump)

    def restore(self, hangs: Iterable[Hang], counts: Counts, now: float) -> None:
        """Take over the hangs that were open before a restart; ``counts``: what was counted, when last."""
        for hang in hangs:
            for signal in HANG_SIGNALS:
                where = (hang.connection, hang.name)
                _, at = counts.get((*where, HUNG, signal), (0, 0.0))
                _, over = counts.get((*where, RECOVERED, signal), (0, 0.0))
                if at < hang.since or at <= over:
                    continue
                case = self._patient((hang.connection, hang.uuid)).case(signal)
                case.hung_at = case.since = at
                if signal == WATCHDOG:
                    # Whether it was reset meanwhile nobody knows; if it runs on, that will do.
                    case.healing = now
                    self._healing.add((hang.connection, hang.uuid))

    def signals(self, connection: str, uuid: str) -> tuple[str, ...]:
        """Return the signals by which a domain is hung now."""
        patient = self._patients.get((connection, uuid))
        cases = patient.cases if patient is not None else {}
        return tuple(signal for signal, case in cases.items() if case.hung_at is not None)

    def forget(self, connection: str, uuid: str) -> None:
        """Let go of a domain."""
        self._patients.pop((connection, uuid), None)
        self._healing.discard((connection, uuid))

    def _judged(
        self, since: float, domain: Domain, probed: ProbeResults, answer: ProbeAnswer
    ) -> Iterator[Transition]:
        key, at = (domain.connection, domain.uuid), probed.at
        case = self._patient(key).case(probed.signal)
        excused = domain.state not in RUNS or (domain.state, domain.reason) in EXCUSED
        if excused and (answer.outcome != "answered" or probed.signal == VCPU):
            # Silence proves nothing now; an answer always does.
            case.restart()
            return
        patient = self._patients[key]
        # min(): a message from right before a jump of the wall clock may have come after it.
        patient.changed = min(patient.changed, at)
        since = max(min(since, at), patient.changed)
        why = JUDGES[probed.signal](case, answer, since, at, self._patience)
        if why is None:
            return
        event = RECOVERED if case.hung_at is not None else HUNG
        case.hung_at = at if event == HUNG else None
        yield _of(domain, event, probed.signal, at, why)

    def _watchdog(self, key: Key, change: Transition) -> list[Transition]:
        patient = self._patients.get(key)
        if change.event == WATCHDOG:
            case = self._patient(key).case(WATCHDOG)
            case.healing = None
            if case.hung_at is not None:
                return []
            case.hung_at = case.since = change.at
            self._healing.add(key)
            return [change._replace(event=HUNG, reason=WATCHDOG, detail=WATCHDOG, detail_code=-1)]
        case_now = patient.cases.get(WATCHDOG) if patient is not None else None
        if case_now is not None and case_now.hung_at is not None:
            case_now.healing = change.at if HEALS[change.event] else None
        return []

    def _end(self, key: Key, at: float) -> None:
        """A run has ended; the verdict about that may come when the next has begun."""
        patient = self._patients.get(key)
        if patient is None:
            return
        for signal, case in list(patient.cases.items()):
            if case.hung_at is None or case.hung_at <= at:
                del patient.cases[signal]
        if WATCHDOG not in patient.cases:
            self._healing.discard(key)

    def _patient(self, key: Key) -> _Patient:
        return self._patients.setdefault(key, _Patient())


def _of(domain: Domain, event: str, signal: str, at: float, why: str) -> Transition:
    return Transition(
        at,
        domain.connection,
        domain.uuid,
        domain.name,
        domain.domain_id,
        event,
        signal,
        signal,
        -1,
        "probe",
        why,
    )
