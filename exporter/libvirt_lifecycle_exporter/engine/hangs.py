"""Hang detection: probe results and transitions become ``hung`` and ``recovered``.

This module decides that a domain is hung. Silence counts only while nothing else explains it: the domain runs
(and is not ``EXCUSED``), nothing has happened to it since, and its connection has been up. A probe that
libvirt could not run proves nothing. ``hang_signals`` decides how long is long enough::

                  silent                   silent for long enough, measured twice
    normal -----------------> suspected ------------------------------------------> hung
      ^  <- answered, excused --'                                                    |
      '--------------------------------------- answered (recovered), or the run ends -'

Invariant: for each domain and signal, ``hung`` and ``recovered`` alternate, ``hung`` first. A hang that was
open when the exporter ended stays open after the restart; the next answer decides whether the domain
recovered.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.hang_signals import (
    DEFAULT_THRESHOLDS,
    EVALUATORS,
    GUEST_AGENT,
    VCPU,
    HangThresholds,
)
from libvirt_lifecycle_exporter.engine.record import Domain, DomainRecord, HangSignal, Records
from libvirt_lifecycle_exporter.model.messages import Observation, ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import HANG_SIGNALS, HUNG, RECOVERED

WATCHDOG: Final = "watchdog"

RUNNING_STATES: Final = frozenset({"running", "blocked"})
EXCUSED: Final = frozenset({("running", "postcopy"), ("running", "postcopy_failed")})
"""Running domains whose silence proves nothing: part of their memory is still on another host. Pauses and
shutdowns are states of their own."""

SILENCE_RESTARTS: Final = frozenset(
    {"started", "resumed", "suspended", "pmsuspended", "shutdown", "crashed", "rebooted", "stopped"}
)
"""Events after which silence is measured from zero."""
RUN_BOUNDARIES: Final = frozenset({"stopped", "started"})
"""Events that end a run, or begin another one (but for a wakeup)."""
HANG_EVENTS: Final = frozenset({HUNG, RECOVERED})
WATCHDOG_RECOVERY: Final[Mapping[str, bool]] = MappingProxyType(
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
"""Event -> whether a guest whose watchdog fired may recover after it."""

CONNECTED: Final = 1
"""virConnectDomainEventAgentLifecycleState: the guest has the channel of its agent open."""


Counts = Mapping[tuple[str, str, str, str], tuple[int, float]]
"""(connection, domain name, event, reason) -> count, newest time (Unix time, seconds)"""


class Hang(NamedTuple):
    """A hang that was open before a restart."""

    connection: str
    uuid: str
    name: str
    since: float
    """When its incident began; Unix time, seconds."""


class Hangs:
    """Decides which domains are hung."""

    def __init__(
        self, thresholds: HangThresholds = DEFAULT_THRESHOLDS, records: Records | None = None
    ) -> None:
        self._thresholds = thresholds
        self._records = records if records is not None else Records()
        self._up_since: dict[str, float | None] = {}
        """Since when each connection has been up; None: it is down."""

    def set_connection(self, connection: str, at: float, *, up: bool) -> None:
        """Record that a connection is up or down; silence while it is down proves nothing."""
        self._up_since[connection] = at if up else None
        for record in self._records:
            if record.connection == connection:
                _restart(record, at)

    def evaluate_probes(self, probed: ProbeResults) -> list[Transition]:
        """Return the transitions that the answers to probes prove."""
        since = self._up_since.get(probed.connection)
        if since is None:
            return []
        found: list[Transition] = []
        for answer in probed.answers:
            record = self._records.find(probed.connection, answer.uuid)
            if record is not None and record.domain is not None and record.domain.present:
                found += self._evaluate(since, record, record.domain, probed, answer)
        return found

    def apply(self, record: DomainRecord, change: Transition) -> list[Transition]:
        """Apply a transition, and return those that follow from it. Call it for every counted transition."""
        if change.event in SILENCE_RESTARTS:
            if record.hang_signals and change.event in RUN_BOUNDARIES and change.reason != "wakeup":
                self._end(record, change)
            _restart(record, change.at)
        elif change.event in HANG_EVENTS:
            _record_counted(record, change)
        if (record.hang_signals or change.event == WATCHDOG) and change.event in WATCHDOG_RECOVERY:
            return self._watchdog(record, change)
        return []

    def apply_agent_event(self, event: Observation) -> list[Transition]:
        """Apply AGENT_LIFECYCLE: a guest that closes the channel of its agent is alive."""
        record = self._records.find(event.connection, event.uuid)
        signal = record.hang_signals.get(GUEST_AGENT) if record is not None else None
        if signal is None or event.event == CONNECTED:
            return []
        signal.missed, signal.has_answered = 0, False
        if signal.hung_at is None:
            return []
        signal.hung_at = None
        message = "the guest has closed the agent's channel, and so it is alive"
        return [
            Transition(
                event.at,
                event.connection,
                event.uuid,
                event.name,
                event.domain_id,
                RECOVERED,
                GUEST_AGENT,
                GUEST_AGENT,
                -1,
                "callback",
                message,
            )
        ]

    def tick(self, now: float) -> list[Transition]:
        """Return ``recovered`` for guests that have run long enough after their watchdog fired."""
        found = []
        for record in list(self._records.recovering.values()):
            domain, signal = record.domain, record.hang_signals[WATCHDOG]
            if domain is None or signal.recovering_since is None or domain.state not in RUNNING_STATES:
                continue
            signal.recovering_since = min(signal.recovering_since, now)  # the clock may have stepped back
            if now - signal.recovering_since >= self._thresholds.watchdog:
                message = f"the guest has run on for {now - signal.recovering_since:.0f} s"
                signal.hung_at = signal.recovering_since = None
                del self._records.recovering[record.key]
                found.append(_transition(domain, RECOVERED, WATCHDOG, now, message))
        return found

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        for connection, since in self._up_since.items():
            if since is not None:
                self._up_since[connection] = since + jump
        for record in self._records:
            record.silence_excused_until += jump
            for signal in record.hang_signals.values():
                signal.shift(jump)

    def restore(self, hangs: Iterable[Hang], counts: Counts, now: float) -> None:
        """Load the hangs that were open before a restart. ``counts``: the restored counters."""
        for hang in hangs:
            record = self._records.get(hang.connection, hang.uuid)
            for name in HANG_SIGNALS:
                name_key = (hang.connection, hang.name)
                _, at = counts.get((*name_key, HUNG, name), (0, 0.0))
                _, recovered_at = counts.get((*name_key, RECOVERED, name), (0, 0.0))
                if at < hang.since or at <= recovered_at:
                    continue
                signal = record.hang_signals.setdefault(name, HangSignal())
                signal.hung_at = signal.since = at
                if name == WATCHDOG:
                    # It is not known whether the guest was reset meanwhile, so it may recover by running.
                    signal.recovering_since = now
                    self._records.recovering[record.key] = record

    def signals(self, connection: str, uuid: str) -> tuple[str, ...]:
        """Return the signals by which a domain is hung now."""
        record = self._records.find(connection, uuid)
        return () if record is None else record.hung

    def _evaluate(
        self, since: float, record: DomainRecord, domain: Domain, probed: ProbeResults, answer: ProbeAnswer
    ) -> Iterator[Transition]:
        at = probed.at
        signal = record.hang_signals.setdefault(probed.signal, HangSignal())
        excused = domain.state not in RUNNING_STATES or (domain.state, domain.reason) in EXCUSED
        if excused and (answer.outcome != "answered" or probed.signal == VCPU):
            # Silence proves nothing now; an answer does.
            signal.restart()
            return
        # min(): a message from right before a jump of the wall clock may have come after it.
        record.silence_excused_until = min(record.silence_excused_until, at)
        since = max(min(since, at), record.silence_excused_until)
        message = EVALUATORS[probed.signal](signal, answer, since, at, self._thresholds)
        if message is None:
            return
        event = RECOVERED if signal.hung_at is not None else HUNG
        signal.hung_at = at if event == HUNG else None
        yield _transition(domain, event, probed.signal, at, message)

    def _watchdog(self, record: DomainRecord, change: Transition) -> list[Transition]:
        if change.event == WATCHDOG:
            fired = record.hang_signals.setdefault(WATCHDOG, HangSignal())
            fired.recovering_since = None
            if fired.hung_at is not None:
                return []
            fired.hung_at = fired.since = change.at
            self._records.recovering[record.key] = record
            return [change._replace(event=HUNG, reason=WATCHDOG, detail=WATCHDOG, detail_code=-1)]
        signal = record.hang_signals.get(WATCHDOG)
        if signal is not None and signal.hung_at is not None:
            signal.recovering_since = change.at if WATCHDOG_RECOVERY[change.event] else None
        return []

    def _end(self, record: DomainRecord, change: Transition) -> None:
        """End the hangs of a run. The verdict of a stop may come when the next run is hung already."""
        for name, signal in list(record.hang_signals.items()):
            if change.event == "started" or signal.hung_at is None or signal.hung_at <= change.at:
                del record.hang_signals[name]
        if WATCHDOG not in record.hang_signals:
            self._records.recovering.pop(record.key, None)


def _record_counted(record: DomainRecord, change: Transition) -> None:
    """Record a counted ``hung`` or ``recovered``; probes have recorded theirs already."""
    signal = record.hang_signals.setdefault(change.reason, HangSignal())
    if change.event == RECOVERED:
        signal.hung_at = None
    elif signal.hung_at is None:
        signal.hung_at = change.at


def _restart(record: DomainRecord, at: float) -> None:
    """Measure silence from ``at``."""
    record.silence_excused_until = max(record.silence_excused_until, at)
    for signal in record.hang_signals.values():
        signal.restart()


def _transition(domain: Domain, event: str, signal: str, at: float, message: str) -> Transition:
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
        message,
    )
