"""When a domain is hung by one signal: one function for each signal whose probes are evaluated.

Each function gets the state of the signal, one answer, since when silence counts, the time of the answer
(both Unix time, seconds) and the thresholds. It returns the message of a ``hung`` or ``recovered``
transition, or None if nothing changed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.record import HangSignal
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

EMULATOR: Final = "emulator"
GUEST_AGENT: Final = "guest_agent"
VCPU: Final = "vcpu"

MISSES: Final = 3
"""Consecutive pings that a guest agent must miss."""
CONFIRM: Final = 1.0
"""Seconds between the two answers of libvirt that must agree on how long a client has waited for a monitor: a
daemon that was frozen briefly reports long waits that are over."""
SAME_WAIT: Final = 1.0
"""Seconds by which two measurements of the beginning of one wait may differ."""
SAMPLES: Final = 3
"""Samples of the virtual CPUs in a window; a longer gap between samples restarts the window."""


class HangThresholds(NamedTuple):
    """How long each signal must last; seconds."""

    emulator: float = 15.0
    """How long a client has waited for the monitor."""
    watchdog: float = 30.0
    """How long the guest must run after a reset or resume to have recovered."""
    vcpu: float = 60.0
    """How long no virtual CPU has run."""


DEFAULT_THRESHOLDS: Final = HangThresholds()
"""The documented defaults."""


def _emulator(
    signal: HangSignal, answer: ProbeAnswer, since: float, at: float, thresholds: HangThresholds
) -> str | None:
    if answer.outcome == "answered":
        signal.seen = 0.0
        return None if signal.hung_at is None else _again("its monitor answers", signal, at)
    if answer.outcome != "silent" or signal.hung_at is not None:
        return None
    began = at - answer.waited
    if not signal.seen or abs(began - signal.since) > SAME_WAIT:
        signal.seen, signal.since = at, began
    if at - max(began, since) < thresholds.emulator or at - signal.seen < CONFIRM:
        return None
    client = answer.waiting_client or "somebody"
    return f"its monitor has not answered for {answer.waited:.0f} s, held by {client}"


def _agent(
    signal: HangSignal, answer: ProbeAnswer, since: float, at: float, _patience: HangThresholds
) -> str | None:
    if answer.outcome == "answered":
        signal.misses, signal.trusted = 0, True
        return None if signal.hung_at is None else _again("its guest agent answers", signal, at)
    if answer.outcome == "absent":
        signal.misses, signal.trusted = 0, False
    if answer.outcome != "silent" or not signal.trusted or signal.hung_at is not None:
        return None
    if not signal.misses:
        signal.since = max(since, at - answer.waited)
    signal.misses += 1
    if signal.misses < MISSES:
        return None
    return f"its guest agent has not answered {signal.misses} times in {at - signal.since:.0f} s"


def _vcpu(
    signal: HangSignal, answer: ProbeAnswer, since: float, at: float, thresholds: HangThresholds
) -> str | None:
    window = thresholds.vcpu
    if answer.outcome != "answered":
        signal.restart()
        return None
    gap, signal.newest = at - signal.newest, at
    is_first = signal.ran < 0 or signal.since < since or not 0 <= gap <= window / SAMPLES * 2
    moved = not is_first and answer.cpu_time != signal.ran
    if is_first or moved:
        signal.since, signal.ran, signal.misses = at, answer.cpu_time, 0
    else:
        signal.misses += 1
    if signal.hung_at is not None:
        return _stirs(signal, at, window) if moved else None
    if signal.misses < SAMPLES or at - signal.since < window:
        return None
    return f"no virtual CPU of it has run for {at - signal.since:.0f} s"


def _stirs(signal: HangSignal, at: float, window: float) -> str | None:
    """A stalled guest may run once when a timer fires; running twice in a window means that it recovered."""
    before, signal.stirred = signal.stirred, at
    if before is None or at - before > window:
        return None
    signal.stirred = None
    return _again("its virtual CPUs run", signal, at)


def _again(who: str, signal: HangSignal, at: float) -> str:
    return f"{who} again, after {max(0.0, at - signal.since):.0f} s"


Judge = Callable[[HangSignal, ProbeAnswer, float, float, HangThresholds], str | None]

JUDGES: Final[Mapping[str, Judge]] = MappingProxyType({EMULATOR: _emulator, GUEST_AGENT: _agent, VCPU: _vcpu})
"""By signal: the function that evaluates an answer."""
