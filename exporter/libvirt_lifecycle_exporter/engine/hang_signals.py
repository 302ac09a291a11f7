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

MISSED_PINGS: Final = 3
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
        signal.first_seen = 0.0
        return (
            None
            if signal.hung_at is None
            else _recovered_message("the emulator's monitor answers", signal, at)
        )
    if answer.outcome != "silent" or signal.hung_at is not None:
        return None
    began = at - answer.waited
    if not signal.first_seen or abs(began - signal.since) > SAME_WAIT:
        signal.first_seen, signal.since = at, began
    if at - max(began, since) < thresholds.emulator or at - signal.first_seen < CONFIRM:
        return None
    client = answer.waiting_client or "an unknown client"
    silence = f"the emulator's monitor has not answered for {answer.waited:.0f} s"
    return f"{silence}; waiting client: {client}"


def _agent(
    signal: HangSignal, answer: ProbeAnswer, since: float, at: float, _thresholds: HangThresholds
) -> str | None:
    if answer.outcome == "answered":
        signal.missed, signal.has_answered = 0, True
        return None if signal.hung_at is None else _recovered_message("the guest agent answers", signal, at)
    if answer.outcome == "absent":
        signal.missed, signal.has_answered = 0, False
    if answer.outcome != "silent" or not signal.has_answered or signal.hung_at is not None:
        return None
    if not signal.missed:
        signal.since = max(since, at - answer.waited)
    signal.missed += 1
    if signal.missed < MISSED_PINGS:
        return None
    return f"the guest agent did not answer {signal.missed} times in {at - signal.since:.0f} s"


def _vcpu(
    signal: HangSignal, answer: ProbeAnswer, since: float, at: float, thresholds: HangThresholds
) -> str | None:
    window = thresholds.vcpu
    if answer.outcome != "answered":
        signal.restart()
        return None
    gap, signal.sampled_at = at - signal.sampled_at, at
    is_first = signal.cpu_time < 0 or signal.since < since or not 0 <= gap <= window / SAMPLES * 2
    moved = not is_first and answer.cpu_time != signal.cpu_time
    if is_first or moved:
        signal.since, signal.cpu_time, signal.missed = at, answer.cpu_time, 0
    else:
        signal.missed += 1
    if signal.hung_at is not None:
        return _runs_again(signal, at, window) if moved else None
    if signal.missed < SAMPLES or at - signal.since < window:
        return None
    return f"no virtual CPU has run for {at - signal.since:.0f} s"


def _runs_again(signal: HangSignal, at: float, window: float) -> str | None:
    """A stalled guest may run once when a timer fires; running twice in a window means that it recovered."""
    before, signal.last_ran = signal.last_ran, at
    if before is None or at - before > window:
        return None
    signal.last_ran = None
    return _recovered_message("the virtual CPUs run", signal, at)


def _recovered_message(subject: str, signal: HangSignal, at: float) -> str:
    return f"{subject} again, after {max(0.0, at - signal.since):.0f} s"


Evaluator = Callable[[HangSignal, ProbeAnswer, float, float, HangThresholds], str | None]

EVALUATORS: Final[Mapping[str, Evaluator]] = MappingProxyType(
    {EMULATOR: _emulator, GUEST_AGENT: _agent, VCPU: _vcpu}
)
"""By signal: the function that evaluates an answer."""
