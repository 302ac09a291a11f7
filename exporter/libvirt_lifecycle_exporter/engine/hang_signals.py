"""Pure: for how long has a domain been silent to one signal, and is that long enough?

Law: each judge gets one signal's case, one answer and since when silence counts, and says why the domain is
hung or has recovered, in words; None where nothing has changed. It never says the same twice in a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

EMULATOR: Final = "emulator"
GUEST_AGENT: Final = "guest_agent"
VCPU: Final = "vcpu"

MISSES: Final = 3
"""Pings in a row that a guest agent must miss."""
CONFIRM: Final = 1.0
"""Seconds between the two answers of libvirt that must agree on who has been waiting for a monitor: a daemon
that was frozen tells, for a moment, of long waits that are over."""
SAME_WAIT: Final = 1.0
"""Seconds by which the beginning of one and the same wait may seem to differ."""
SAMPLES: Final = 3
"""Looks at the virtual CPUs in a window; a longer gap between them starts it anew."""


class HangThresholds(NamedTuple):
    """What it takes to be called hung, or recovered; seconds."""

    emulator: float = 15.0
    """That somebody has waited for the monitor."""
    watchdog: float = 30.0
    """That a guest has run on since it was reset or resumed."""
    vcpu: float = 60.0
    """In which no virtual CPU has run."""


PATIENT: Final = HangThresholds()
"""As the documentation has it."""


@dataclass(slots=True)
class Case:
    """One signal of one domain."""

    hung_at: float | None = None
    since: float = 0.0
    """When the silence began."""
    seen: float = 0.0
    """When it was seen first; emulator."""
    misses: int = 0
    """In a row; guest agent."""
    trusted: bool = False
    """Whether the guest agent has ever answered in this run."""
    ran: int = -1
    newest: float = 0.0
    """When the virtual CPUs were looked at last."""
    stirred: float | None = None
    """When a guest that is taken for stalled ran a little."""
    healing: float | None = None
    """Since when a guest whose watchdog ran out has run on."""

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        self.since += jump
        self.newest += jump
        if self.seen:
            self.seen += jump
        if self.hung_at is not None:
            self.hung_at += jump
        if self.stirred is not None:
            self.stirred += jump
        if self.healing is not None:
            self.healing += jump

    def restart(self) -> None:
        """Forget all silence."""
        self.seen, self.misses, self.ran, self.stirred = 0.0, 0, -1, None


def _emulator(
    case: Case, answer: ProbeAnswer, since: float, at: float, patience: HangThresholds
) -> str | None:
    if answer.outcome == "answered":
        case.seen = 0.0
        return None if case.hung_at is None else _again("its monitor answers", case, at)
    if answer.outcome != "silent" or case.hung_at is not None:
        return None
    began = at - answer.waited
    if not case.seen or abs(began - case.since) > SAME_WAIT:
        case.seen, case.since = at, began
    if at - max(began, since) < patience.emulator or at - case.seen < CONFIRM:
        return None
    client = answer.waiting_client or "somebody"
    return f"its monitor has not answered for {answer.waited:.0f} s, held by {client}"


def _agent(case: Case, answer: ProbeAnswer, since: float, at: float, _patience: HangThresholds) -> str | None:
    if answer.outcome == "answered":
        case.misses, case.trusted = 0, True
        return None if case.hung_at is None else _again("its guest agent answers", case, at)
    if answer.outcome == "absent":
        case.misses, case.trusted = 0, False
    if answer.outcome != "silent" or not case.trusted or case.hung_at is not None:
        return None
    if not case.misses:
        case.since = max(since, at - answer.waited)
    case.misses += 1
    if case.misses < MISSES:
        return None
    return f"its guest agent has not answered {case.misses} times in {at - case.since:.0f} s"


def _vcpu(case: Case, answer: ProbeAnswer, since: float, at: float, patience: HangThresholds) -> str | None:
    window = patience.vcpu
    if answer.outcome != "answered":
        case.restart()
        return None
    gap, case.newest = at - case.newest, at
    is_first = case.ran < 0 or case.since < since or not 0 <= gap <= window / SAMPLES * 2
    moved = not is_first and answer.cpu_time != case.ran
    if is_first or moved:
        case.since, case.ran, case.misses = at, answer.cpu_time, 0
    else:
        case.misses += 1
    if case.hung_at is not None:
        return _stirs(case, at, window) if moved else None
    if case.misses < SAMPLES or at - case.since < window:
        return None
    return f"no virtual CPU of it has run for {at - case.since:.0f} s"


def _stirs(case: Case, at: float, window: float) -> str | None:
    """Once is what a dead guest does, too, when its timer wakes it now and then; twice is life."""
    before, case.stirred = case.stirred, at
    if before is None or at - before > window:
        return None
    case.stirred = None
    return _again("its virtual CPUs run", case, at)


def _again(who: str, case: Case, at: float) -> str:
    return f"{who} again, after {max(0.0, at - case.since):.0f} s"


Judge = Callable[[Case, ProbeAnswer, float, float, HangThresholds], str | None]

JUDGES: Final[Mapping[str, Judge]] = MappingProxyType({EMULATOR: _emulator, GUEST_AGENT: _agent, VCPU: _vcpu})
"""By signal: who judges the answers to its probes."""
