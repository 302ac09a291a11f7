"""Pure: what was seen, and when, becomes what it means.

Law: no clock, no I/O, no libvirt; the same values in the same order give the same transitions. Each
observation that is a transition comes out exactly once, in the order of its domain, never more than
``VERDICT_WAIT`` and a tick late. libvirt's own word stays in ``detail``; ``reason`` is the verdict.

                       +-- a rule of AT_ONCE fits, or no doubt --------------------> Transition
    Observation --name-+
                       +-- DOUBTFUL: open until a look (PROVEN), the domain's next
                           transition or the end of the wait (what the run tells) --> Transition
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from libvirt_lifecycle_exporter.model.messages import DomainFacts, Lookup, Observation
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Transition

VERDICT_WAIT = 1.5
"""Seconds that a verdict waits for evidence. Ticks at most 0.5 s apart keep it within 2 s."""

UNFED_WINDOW = 5.0
"""Seconds in which a stop is the work of the watchdog whose action is poweroff: QEMU quits at once."""

REBOOT_WINDOW = 0.5
"""Seconds in which further REBOOT events belong to the same reboot: QEMU sends one for each reset
that a single guest reboot causes, two or three within milliseconds."""

MEMORY = 65_536
"""Domains of which a run, a reboot or an open verdict is remembered before the oldest is let go."""

ACTIVE: Final = frozenset({"running", "blocked", "paused", "pmsuspended", "crashed"})
"""States in which the emulator lives and has not been told to end."""

ARRIVING: Final = frozenset({("paused", "migration"), ("paused", "starting_up")})
"""The (state, reason) of a domain that is still coming in. The source is in the first one, too, but only
for the last moments of its migration, and after it was seen to run."""

Key = tuple[str, str]
"""connection, uuid"""
_Kept = TypeVar("_Kept")


@dataclass(slots=True)
class _Run:
    """What is known of a domain's present run, from start to stop."""

    newest: int = 0
    """The order of the newest transition that told something."""
    arriving: bool = False
    """Whether it is an incoming migration that has not arrived."""
    ran: bool = False
    told: str = ""  # the last shutdown event's word
    told_of: int = -1
    """libvirt's number of the run that it was about."""
    unfed: float | None = None  # when a watchdog switched it off
    hung: bool = False

    def recall(self, state: str, reason: str) -> None:
        """Take in what was known before: the run may be older than this process."""
        if not (self.ran or self.arriving):
            self.arriving = (state, reason) in ARRIVING
            self.ran = state in ACTIVE and not self.arriving
        if state == "shutdown":
            self.told = self.told or "unknown"


def _started(run: _Run, change: Transition) -> None:
    if not 0 < change.domain_id == run.told_of:
        run.told = ""
    # Else it was terminated in its boot: libvirt may report the shutdown before the start.
    if change.reason != "wakeup":
        run.arriving = change.reason == "migrated"
        run.ran = not run.arriving
        run.unfed, run.hung = None, False


def _resumed(run: _Run, _: Transition) -> None:
    run.arriving, run.ran, run.told = False, True, ""


def _halted(run: _Run, _: Transition) -> None:
    # Only what runs is halted. A domain that was paused when it left is told to be so when it arrives.
    run.arriving, run.ran = False, True


def _shut_down(run: _Run, change: Transition) -> None:
    run.told, run.told_of = change.reason, change.domain_id


def _barked(run: _Run, change: Transition) -> None:
    if change.reason == "poweroff":
        run.unfed = change.at


_TELLS: Final[Mapping[str, Callable[[_Run, Transition], None]]] = MappingProxyType(
    {
        "started": _started,
        "resumed": _resumed,
        "suspended": _halted,
        "pmsuspended": _halted,
        "crashed": _halted,
        "shutdown": _shut_down,
        "watchdog": _barked,
    }
)
"""Event -> what it tells of the run. A stop ends the run; the others tell nothing."""


class Rule(NamedTuple):
    """How libvirt's word for a stop is read in the light of the run."""

    word: str
    holds: Callable[[_Run, Transition], bool]
    verdict: str


AT_ONCE: Final = (
    Rule("failed", lambda run, stop: _soon_after(run.unfed, stop.at), "hung"),
    # Whether the emulator died or was given up: the migration failed.
    Rule("failed", lambda run, _: run.arriving, "failed"),
    # From libvirt 11 on its own way to end QEMU says "host" too, but then the stop has another word.
    Rule("shutdown", lambda run, _: run.told == "host", "quit"),
    Rule("destroyed", lambda run, _: run.hung, "hung"),
)
"""The first rule that fits gives the verdict; a stop that none fits stays as sent, or is doubtful."""

DOUBTFUL: Final = "failed"
"""The one word for a stop that libvirt uses both for what it gave up and for what died on it."""

PROVEN: Final[Mapping[str, str]] = MappingProxyType({"crashed": "crashed", "failed": "failed"})
"""Why libvirt says that the domain is shut off -> the verdict. Other answers prove nothing."""

DIAGNOSED: Final[Mapping[tuple[str, str], frozenset[str]]] = MappingProxyType(
    {
        ("stopped", "failed"): frozenset({"failed", "crashed", "hung"}),
        ("stopped", "shutdown"): frozenset({"shutdown", "quit"}),
        ("stopped", "destroyed"): frozenset({"destroyed", "hung"}),
    }
)
"""libvirt's pair -> every reason that it can come out with. All other pairs pass as sent."""


class _Doubt(NamedTuple):
    """A stop whose verdict is open, or a shutdown of a run whose start is not known yet."""

    order: int
    change: Transition
    otherwise: str
    """The verdict if no answer of libvirt proves one."""
    since: float
    """When it began to wait; Unix time, seconds. It follows jumps of the wall clock."""


class Classifier:
    """Turns observations into transitions."""

    def __init__(self) -> None:
        self._runs: dict[Key, _Run] = {}
        self._reboots: dict[Key, float] = {}
        self._doubts: dict[Key, _Doubt] = {}

    def see(
        self, seen: Observation, change: Transition, state: str, reason: str, *, starts_later: bool = False
    ) -> list[Transition]:
        """Return what ``seen`` brings to an end: open verdicts, and the transition that it is evidence of.

        ``change``: the same in libvirt's own words (``naming``); ``state``, ``reason``: what was known of the
        domain before it; empty if nothing was. ``starts_later``: ``change`` is the shutdown of a run whose
        start is not known. It waits: if the next event proves that the start was missed, the start goes
        before it; if the next event is the start, libvirt's order stays.
        """
        if seen.kind == "reboot" and self._is_echo(seen):
            return []
        key = (seen.connection, seen.uuid)
        settled = self._settle(key, "")
        if change.event == "stopped":
            return settled + self._stopped(seen.order, change, state, reason)
        if (tell := _TELLS.get(change.event)) is not None:
            run = self._run(key)
            run.recall(state, reason)
            run.newest = seen.order
            tell(run, change)
        if starts_later:
            return settled + self._wait(key, _Doubt(seen.order, change, change.reason, change.at))
        return [*settled, change]

    def learn(self, look: Lookup) -> list[Transition]:
        """Return the transition whose verdict libvirt's answer gives, if one is open."""
        key = (look.connection, look.uuid)
        run, doubt = self._runs.get(key), self._doubts.get(key)
        if run is not None and run.arriving and look.began > run.newest and _has_arrived(look.facts):
            run.arriving, run.ran = False, True
        if doubt is None or doubt.change.event != "stopped" or look.began <= doubt.order:
            return []
        return self._settle(key, _proven(look.facts))

    def tick(self, now: float) -> list[Transition]:
        """Return the transitions whose verdict has waited long enough (or since a time yet to come)."""
        due = [key for key, doubt in self._doubts.items() if not 0 <= now - doubt.since < VERDICT_WAIT]
        return [change for key in due for change in self._settle(key, "")]

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for key, doubt in self._doubts.items():
            self._doubts[key] = doubt._replace(since=doubt.since + jump)
        for key in self._reboots:
            self._reboots[key] += jump
        for run in self._runs.values():
            if run.unfed is not None:
                run.unfed += jump

    def conclude(self, connection: str, uuid: str) -> list[Transition]:
        """Return the transition whose verdict is open, if there is one: there will be no more evidence."""
        return self._settle((connection, uuid), "")

    def pending(self) -> frozenset[Key]:
        """Name the domains, by connection and uuid, that have stopped and whose verdict is open."""
        return frozenset(key for key, doubt in self._doubts.items() if doubt.change.event == "stopped")

    def note_hung(self, connection: str, uuid: str, is_hung: bool) -> None:  # noqa: FBT001 - a state, not a switch
        """Take in that a domain hangs, or does no longer."""
        key = (connection, uuid)
        if is_hung or key in self._runs:
            self._run(key).hung = is_hung

    def forget(self, connection: str, uuid: str) -> None:
        """Let go of what is known of a domain's run. A verdict that is open will still be told."""
        self._runs.pop((connection, uuid), None)
        self._reboots.pop((connection, uuid), None)

    def _stopped(self, order: int, stop: Transition, state: str, reason: str) -> list[Transition]:
        key = (stop.connection, stop.uuid)
        run = self._runs.pop(key, None) or _Run()
        run.recall(state, reason)
        for rule in AT_ONCE:
            if rule.word == stop.reason and rule.holds(run, stop):
                return [stop._replace(reason=rule.verdict)]
        if stop.reason != DOUBTFUL:
            return [stop]
        return self._wait(key, _Doubt(order, stop, _likely(run), stop.at))

    def _wait(self, key: Key, doubt: _Doubt) -> list[Transition]:
        """Let a transition wait; return the one that has to go if there are too many."""
        displaced = self._settle(next(iter(self._doubts)), "") if len(self._doubts) >= MEMORY else []
        self._doubts[key] = doubt
        return displaced

    def _settle(self, key: Key, verdict: str) -> list[Transition]:
        """Close an open verdict; where nothing is proven, by what is known of the run."""
        doubt = self._doubts.pop(key, None)
        return [] if doubt is None else [doubt.change._replace(reason=verdict or doubt.otherwise)]

    def _run(self, key: Key) -> _Run:
        run = self._runs.get(key)
        if run is None:
            run = _Run()
            _remember(self._runs, key, run)
        return run

    def _is_echo(self, seen: Observation) -> bool:
        """Tell whether a REBOOT belongs to a reboot that was counted already."""
        key = (seen.connection, seen.uuid)
        counted = self._reboots.pop(key, None)
        # abs(): a clock that steps back must not turn every later reboot into an echo.
        echo = counted is not None and abs(seen.at - counted) < REBOOT_WINDOW
        _remember(self._reboots, key, counted if counted is not None and echo else seen.at)
        return echo


def _remember(memory: dict[Key, _Kept], key: Key, value: _Kept) -> None:
    if len(memory) >= MEMORY:
        del memory[next(iter(memory))]
    memory[key] = value


def _likely(run: _Run) -> str:
    # libvirt's src/qemu/qemu_driver.c, processMonitorEOFEvent: when the monitor of an active domain closes
    # and no SHUTDOWN came over it, the emulator is taken for crashed; the event that goes out says FAILED.
    # After a SHUTDOWN it says SHUTDOWN: then a FAILED comes from elsewhere, and means what it says.
    return "crashed" if run.ran and not run.told else "failed"


def _proven(facts: DomainFacts | None) -> str:
    return PROVEN.get(facts.reason, "") if facts is not None and facts.state == INACTIVE else ""


def _has_arrived(facts: DomainFacts | None) -> bool:
    return facts is not None and facts.state in ACTIVE and (facts.state, facts.reason) not in ARRIVING


def _soon_after(cause: float | None, at: float) -> bool:
    return cause is not None and abs(at - cause) <= UNFED_WINDOW
