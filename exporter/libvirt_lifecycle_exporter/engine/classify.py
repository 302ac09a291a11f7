"""Decides the reason of a transition: what libvirt reported, read in the light of the domain's run.

libvirt's own reason stays in ``detail``; ``reason`` is the verdict. Most transitions pass as sent. A stop for
which one of the ``IMMEDIATE_RULES`` holds gets that rule's reason. A stop whose reason is ``AMBIGUOUS`` waits
for evidence::

                             +-- an immediate rule holds, or the reason is clear ----------> Transition
    Observation --translate--+
                             +-- AMBIGUOUS: until a lookup proves a reason (LOOKUP_REASONS),
                                 the next transition, or VERDICT_WAIT has passed ----------> Transition

Invariants: the same values in the same order give the same transitions. Each transition comes out exactly
once, in the order of its domain, at most ``VERDICT_WAIT`` and one tick late.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.record import DomainRecord, Key, OpenVerdict, Records, RunHistory
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Lookup, Observation
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Transition

VERDICT_WAIT = 1.5
"""Seconds that a verdict waits for evidence. Ticks at most 0.5 s apart keep it within 2 s."""

WATCHDOG_WINDOW = 5.0
"""Seconds after a watchdog with action poweroff in which it explains a stop: QEMU quits at once."""

REBOOT_WINDOW = 0.5
"""Seconds in which further REBOOT events belong to the same reboot: QEMU sends one for each reset
that a single guest reboot causes, two or three within milliseconds."""

MAX_OPEN_VERDICTS = 65_536
"""Open verdicts; when there are more, the next tick gives the oldest early."""

ACTIVE: Final = frozenset({"running", "blocked", "paused", "pmsuspended", "crashed"})
"""States in which the emulator runs and was not told to quit."""

ARRIVING: Final = frozenset({("paused", "migration"), ("paused", "starting_up")})
"""The (state, reason) of a domain that is still coming in. The source is in the first one, too, but only
for the last moments of its migration, and after it was seen running."""


def _apply_known_state(run: RunHistory, state: str, reason: str) -> None:
    """Add what was known before: the run may be older than this process."""
    if not (run.has_run or run.is_incoming):
        run.is_incoming = (state, reason) in ARRIVING
        run.has_run = state in ACTIVE and not run.is_incoming
    if state == "shutdown":
        run.shutdown_reason = run.shutdown_reason or "unknown"


def _on_started(run: RunHistory, change: Transition) -> None:
    if not 0 < change.domain_id == run.shutdown_domain_id:
        run.shutdown_reason = ""
    # Otherwise it was terminated during boot: libvirt may report the shutdown before the start.
    if change.reason != "wakeup":
        run.is_incoming = change.reason == "migrated"
        run.has_run = not run.is_incoming
        run.watchdog_fired_at = None


def _on_resumed(run: RunHistory, _: Transition) -> None:
    run.is_incoming, run.has_run, run.shutdown_reason = False, True, ""


def _on_halted(run: RunHistory, _: Transition) -> None:
    # Only a running domain is halted. An incoming domain that was paused at the source reports a pause.
    run.is_incoming, run.has_run = False, True


def _on_shutdown(run: RunHistory, change: Transition) -> None:
    run.shutdown_reason, run.shutdown_domain_id = change.reason, change.domain_id


def _on_watchdog(run: RunHistory, change: Transition) -> None:
    if change.reason == "poweroff":
        run.watchdog_fired_at = change.at


_RUN_UPDATES: Final[Mapping[str, Callable[[RunHistory, Transition], None]]] = MappingProxyType(
    {
        "started": _on_started,
        "resumed": _on_resumed,
        "suspended": _on_halted,
        "pmsuspended": _on_halted,
        "crashed": _on_halted,
        "shutdown": _on_shutdown,
        "watchdog": _on_watchdog,
    }
)
"""Event -> what it changes in the observations of the run. A stop ends the run."""


class Rule(NamedTuple):
    """When a stop with the reason ``libvirt_reason`` gets another reason."""

    libvirt_reason: str
    holds: Callable[[RunHistory, Transition, bool], bool]
    """The run, the stop, and whether the domain is hung."""
    verdict: str


IMMEDIATE_RULES: Final = (
    Rule("failed", lambda run, stop, _hung: _soon_after(run.watchdog_fired_at, stop.at), "hung"),
    # Whether the emulator crashed or was stopped: the migration failed.
    Rule("failed", lambda run, _stop, _hung: run.is_incoming, "failed"),
    # libvirt 11 sends "host" also when it ends QEMU itself, but then the stop has another reason.
    Rule("shutdown", lambda run, _stop, _hung: run.shutdown_reason == "host", "quit"),
    Rule("destroyed", lambda _run, _stop, hung: hung, "hung"),
)
"""The first rule that holds decides. Otherwise the stop stays as sent, or is ``AMBIGUOUS``."""

AMBIGUOUS: Final = "failed"
"""The only reason of a stop that libvirt uses both for a domain that it stopped and for a crash."""

LOOKUP_REASONS: Final[Mapping[str, str]] = MappingProxyType({"crashed": "crashed", "failed": "failed"})
"""libvirt's reason for being shut off -> the verdict. Other answers prove nothing."""

POSSIBLE_REASONS: Final[Mapping[tuple[str, str], frozenset[str]]] = MappingProxyType(
    {
        ("stopped", "failed"): frozenset({"failed", "crashed", "hung"}),
        ("stopped", "shutdown"): frozenset({"shutdown", "quit"}),
        ("stopped", "destroyed"): frozenset({"destroyed", "hung"}),
    }
)
"""libvirt's (event, reason) -> every reason that it can get here. All other pairs pass as sent."""


class Classifier:
    """Decides the reasons of transitions."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()

    def classify(
        self,
        record: DomainRecord,
        observation: Observation,
        change: Transition,
        state: str,
        reason: str,
        *,
        starts_later: bool = False,
    ) -> list[Transition]:
        """Return the transitions of a domain that an observation completes: an open verdict, and its own.

        ``change``: the observation, translated. ``state``, ``reason``: of the domain before it; empty if they
        are not known. ``starts_later``: ``change`` is the shutdown of a run whose start is not known. It
        waits: if the next event proves that the start was missed, the start is counted before it; if the next
        event is the start, libvirt's order stays.
        """
        if observation.kind == "reboot" and _is_same_reboot(record, observation):
            return []
        settled = [] if record.verdict is None else self._close_verdict(record, "")
        if change.event == "stopped":
            return settled + self._stopped(record, observation.order, change, state, reason)
        if (update := _RUN_UPDATES.get(change.event)) is not None:
            run = record.run
            if run is None:
                run = record.run = RunHistory()
            _apply_known_state(run, state, reason)
            run.newest_order = observation.order
            update(run, change)
        if starts_later:
            self._records.set_verdict(
                record, OpenVerdict(observation.order, change, change.reason, change.at)
            )
        else:
            settled.append(change)
        return settled

    def apply_lookup(self, record: DomainRecord, lookup: Lookup) -> list[Transition]:
        """Return the transition whose reason libvirt's answer proves, if one is open."""
        run, verdict = record.run, record.verdict
        if (
            run is not None
            and run.is_incoming
            and lookup.began > run.newest_order
            and _has_arrived(lookup.facts)
        ):
            run.is_incoming, run.has_run = False, True
        if verdict is None or verdict.change.event != "stopped" or lookup.began <= verdict.order:
            return []
        return self._close_verdict(record, _lookup_reason(lookup.facts))

    def tick(self, now: float) -> list[Transition]:
        """Return the transitions whose verdict has waited long enough, or since a time in the future.

        If there are too many, the oldest are given early.
        """
        waiting = self._records.open_verdicts
        early = [*islice(waiting.values(), max(0, len(waiting) - MAX_OPEN_VERDICTS))]
        due = [
            record
            for record in islice(waiting.values(), len(early), None)
            if record.verdict is not None and not 0 <= now - record.verdict.since < VERDICT_WAIT
        ]
        return [change for record in [*early, *due] for change in self._close_verdict(record, "")]

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        for record in self._records:
            if record.verdict is not None:
                record.verdict = record.verdict._replace(since=record.verdict.since + jump)
            if record.rebooted_at is not None:
                record.rebooted_at += jump
            if record.run is not None and record.run.watchdog_fired_at is not None:
                record.run.watchdog_fired_at += jump

    def close_verdict(self, record: DomainRecord) -> list[Transition]:
        """Return the transition whose verdict is open, if there is one: no more evidence will come."""
        return self._close_verdict(record, "")

    def pending(self) -> frozenset[Key]:
        """Return the keys of the domains that have stopped and whose verdict is open."""
        return frozenset(
            key
            for key, record in self._records.open_verdicts.items()
            if record.verdict is not None and record.verdict.change.event == "stopped"
        )

    @staticmethod
    def forget_run(record: DomainRecord) -> None:
        """Forget the observations of a domain's run. An open verdict is still given."""
        record.run = record.rebooted_at = None

    def _stopped(
        self, record: DomainRecord, order: int, stop: Transition, state: str, reason: str
    ) -> list[Transition]:
        run, record.run = record.run or RunHistory(), None
        _apply_known_state(run, state, reason)
        for rule in IMMEDIATE_RULES:
            if rule.libvirt_reason == stop.reason and rule.holds(run, stop, bool(record.hung)):
                return [stop._replace(reason=rule.verdict)]
        if stop.reason != AMBIGUOUS:
            return [stop]
        self._records.set_verdict(record, OpenVerdict(order, stop, _default_reason(run), stop.at))
        return []

    def _close_verdict(self, record: DomainRecord, reason: str) -> list[Transition]:
        """Close an open verdict; where nothing is proven, by what is known of the run."""
        verdict = record.verdict
        if verdict is None:
            return []
        self._records.set_verdict(record, None)
        return [verdict.change._replace(reason=reason or verdict.default_reason)]


def _is_same_reboot(record: DomainRecord, observation: Observation) -> bool:
    """Return whether a REBOOT belongs to a reboot that was counted already."""
    counted = record.rebooted_at
    # abs(): after the clock has stepped back, later reboots must still be counted.
    if counted is not None and abs(observation.at - counted) < REBOOT_WINDOW:
        return True
    record.rebooted_at = observation.at
    return False


def _default_reason(run: RunHistory) -> str:
    # libvirt's src/qemu/qemu_driver.c, processMonitorEOFEvent: when the monitor of an active domain closes
    # and no SHUTDOWN came over it, the emulator is taken for crashed; the event that goes out says FAILED.
    # After a SHUTDOWN it says SHUTDOWN: then a FAILED comes from elsewhere, and means what it says.
    return "crashed" if run.has_run and not run.shutdown_reason else "failed"


def _lookup_reason(facts: DomainFacts | None) -> str:
    return LOOKUP_REASONS.get(facts.reason, "") if facts is not None and facts.state == INACTIVE else ""


def _has_arrived(facts: DomainFacts | None) -> bool:
    return facts is not None and facts.state in ACTIVE and (facts.state, facts.reason) not in ARRIVING


def _soon_after(cause: float | None, at: float) -> bool:
    return cause is not None and abs(at - cause) <= WATCHDOG_WINDOW
