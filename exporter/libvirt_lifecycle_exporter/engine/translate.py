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


def translate(observation: Observation) -> Transition | None:
    """Return the transition with libvirt's own reason; None for an event that is no transition."""
    if observation.kind == LIFECYCLE:
        event, reason = lifecycle_pair(observation.event, observation.detail)
        # By position: this is on the path of every event.
        return Transition(
            observation.at,
            observation.connection,
            observation.uuid,
            observation.name,
            observation.domain_id,
            event,
            reason,
            reason,
            observation.detail,
            "callback",
        )
    if observation.kind not in NON_LIFECYCLE_EVENTS:
        return None
    event, reasons = NON_LIFECYCLE_EVENTS[observation.kind]
    if observation.kind == "watchdog":
        action = numbered(WATCHDOG_ACTIONS, observation.event)
        change = _transition(observation, event, action, action, observation.event)
        return change._replace(message=f"the guest's watchdog ran out; its action is {action}")
    if observation.kind == "io_error_reason":
        word = observation.word
        reason = word if word in IO_ERROR_REASONS else "other"
        change = _transition(observation, event, reason, word, observation.event)
        disk = observation.subject or "a disk"
        return change._replace(message="" if word == TOLD_ELSEWHERE else f"{disk}: {word or 'error'}")
    return _transition(observation, event, reasons[0], reasons[0], 0)


def _transition(observation: Observation, event: str, reason: str, detail: str, code: int) -> Transition:
    return Transition(
        observation.at,
        observation.connection,
        observation.uuid,
        observation.name,
        observation.domain_id,
        event,
        reason,
        detail,
        code,
        "callback",
    )
