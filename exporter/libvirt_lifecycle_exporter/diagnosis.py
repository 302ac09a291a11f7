"""Pure: what was seen, and when, becomes what it means.

Law: no clock, no I/O, no libvirt; the same observations in the same order give the same transitions.
"""

from libvirt_lifecycle_exporter.transition import Observation, Transition
from libvirt_lifecycle_exporter.vocabulary import (
    IO_ERROR_REASONS,
    LIFECYCLE,
    OTHER_IDS,
    WATCHDOG_ACTIONS,
    lifecycle_pair,
    numbered,
)

REBOOT_WINDOW = 0.5
"""Seconds in which further REBOOT events belong to the same reboot: QEMU sends one for each reset
that a single guest reboot causes, two or three within milliseconds."""

_REBOOT_MEMORY = 4096
"""Domains whose last reboot is remembered before old ones are forgotten."""


class Diagnosis:
    """Turns observations into transitions."""

    def __init__(self) -> None:
        self._reboots: dict[tuple[str, str], float] = {}

    def conclude(self, seen: Observation) -> Transition | None:
        """Return the transition that ``seen`` is evidence of, if any."""
        if seen.kind == LIFECYCLE:
            event, reason = lifecycle_pair(seen.event, seen.detail)
            return _transition(seen, event, reason, reason, seen.detail)
        if seen.kind not in OTHER_IDS or (seen.kind == "reboot" and self._is_echo(seen)):
            return None
        event = OTHER_IDS[seen.kind][0]
        if seen.kind == "watchdog":
            reason = numbered(WATCHDOG_ACTIONS, seen.event)
            return _transition(seen, event, reason, reason, seen.event)
        if seen.kind == "io_error_reason":
            reason = seen.word if seen.word in IO_ERROR_REASONS else "other"
            return _transition(seen, event, reason, seen.word, seen.event)
        reason = OTHER_IDS[seen.kind][1][0]
        return _transition(seen, event, reason, reason, 0)

    def _is_echo(self, seen: Observation) -> bool:
        """Tell whether a REBOOT belongs to a reboot that was counted already."""
        domain = (seen.connection, seen.uuid)
        counted = self._reboots.get(domain)
        # abs(): a clock that steps back must not turn every later reboot into an echo.
        if counted is not None and abs(seen.at - counted) < REBOOT_WINDOW:
            return True
        self._reboots.pop(domain, None)
        if len(self._reboots) >= _REBOOT_MEMORY:
            del self._reboots[next(iter(self._reboots))]
        self._reboots[domain] = seen.at
        return False


def _transition(seen: Observation, event: str, reason: str, detail: str, code: int) -> Transition:
    # By place, not by name: half the time, on the hot path.
    return Transition(
        seen.at,
        seen.connection,
        seen.uuid,
        seen.name,
        seen.domain_id,
        event,
        reason,
        detail,
        code,
        "callback",
    )
