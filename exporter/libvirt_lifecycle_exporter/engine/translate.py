"""Translates a libvirt event into a transition with libvirt's own reason; ``classify`` decides the reason."""

from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    IO_ERROR_REASONS,
    LIFECYCLE,
    NON_LIFECYCLE_EVENTS,
    TOLD_ELSEWHERE,
    WATCHDOG_ACTIONS,
    lifecycle_pair,
    numbered,
)


def translate(seen: Observation) -> Transition | None:
    """Return the transition with libvirt's own reason; None for an event that is no transition."""
    if seen.kind == LIFECYCLE:
        event, reason = lifecycle_pair(seen.event, seen.detail)
        return _transition(seen, event, reason, reason, seen.detail)
    if seen.kind not in NON_LIFECYCLE_EVENTS:
        return None
    event, reasons = NON_LIFECYCLE_EVENTS[seen.kind]
    if seen.kind == "watchdog":
        reason = numbered(WATCHDOG_ACTIONS, seen.event)
        message = f"the guest's watchdog ran out; its action is {reason}"
        return _transition(seen, event, reason, reason, seen.event)._replace(message=message)
    if seen.kind == "io_error_reason":
        reason = seen.word if seen.word in IO_ERROR_REASONS else "other"
        message = "" if seen.word == TOLD_ELSEWHERE else f"{seen.subject or 'a disk'}: {seen.word or 'error'}"
        return _transition(seen, event, reason, seen.word, seen.event)._replace(message=message)
    return _transition(seen, event, reasons[0], reasons[0], 0)


def _transition(seen: Observation, event: str, reason: str, word: str, code: int) -> Transition:
    # Positional arguments take half the time; this is the hot path.
    return Transition(
        seen.at, seen.connection, seen.uuid, seen.name, seen.domain_id, event, reason, word, code, "callback"
    )
