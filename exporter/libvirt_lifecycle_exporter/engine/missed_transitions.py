"""Infers missed transitions from the last known state and libvirt's next answer or event.

Invariant: counts are exact and reasons are never invented. A transition is inferred only if the two states
prove it. Its reason is the one that libvirt now reports, else ``unknown``. What libvirt forgets proves
nothing (reasons of inactive domains become unknown when the daemon restarts).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.engine.run_identity import is_another_id, is_another_run
from libvirt_lifecycle_exporter.model.messages import DomainFacts
from libvirt_lifecycle_exporter.model.states import INACTIVE
from libvirt_lifecycle_exporter.model.transitions import Transition

Pair = tuple[str, str]
UNKNOWN = "unknown"

STOPPED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shutdown": "shutdown",
        "destroyed": "destroyed",
        "crashed": "crashed",
        "migrated": "migrated",
        "saved": "saved",
        "failed": "failed",
        "from_snapshot": "from_snapshot",
    }
)
"""The reason for being shut off -> the reason of the stop."""

STARTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "booted": "booted",
        "migrated": "migrated",
        "restored": "restored",
        "from_snapshot": "from_snapshot",
        "wakeup": "wakeup",
    }
)
"""The reason for running -> the reason of the start."""

SUSPENDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "user": "paused",
        "migration": "migrated",
        "ioerror": "ioerror",
        "watchdog": "watchdog",
        "from_snapshot": "from_snapshot",
        "postcopy": "postcopy",
        "postcopy_failed": "postcopy_failed",
        "api_error": "api_error",
    }
)
"""The reason for being paused -> the reason of the suspension."""

RESUMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unpaused": "unpaused",
        "migrated": "migrated",
        "from_snapshot": "from_snapshot",
        "postcopy": "postcopy",
        "postcopy_failed": "postcopy_failed",
    }
)
"""The reason for running -> the reason of the resumption."""

_ENTERED: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = MappingProxyType(
    {
        "paused": ("suspended", SUSPENDED),
        "pmsuspended": ("pmsuspended", {}),
        "crashed": ("crashed", {"panicked": "panicked"}),
        "shutdown": ("shutdown", {}),
    }
)
"""The state an active domain was found in -> the event that led there, and its reasons."""


TRANSIENT_STATES: Final = frozenset({("paused", "starting_up"), ("paused", "shutting_down")})
"""Transient states of a domain that libvirt is working on; the events are still to come. A start, or
reverting to a snapshot, takes seconds on a busy host."""


def is_transient(found: DomainFacts | None) -> bool:
    """Return whether an answer is about a transient state and says nothing yet."""
    return found is not None and (found.state, found.reason) in TRANSIENT_STATES


def facts_of_new_domain(found: DomainFacts | None) -> DomainFacts | None:
    """Return the facts of a domain that was not known before: one that is starting is still shut off."""
    if found is None or (found.state, found.reason) != ("paused", "starting_up"):
        return found
    off = found._replace(state=INACTIVE, reason=UNKNOWN, domain_id=-1)
    return off if found.persistent else None


def infer_missed(known: Domain | None, found: DomainFacts | None, driver: str = "") -> list[Pair]:
    """Return the (event, reason) pairs that must have happened between the two, in order.

    ``known`` is None for a domain that was not there; ``found`` is None for one that is not there now.
    ``driver``: of the connection; what proves another run depends on it (``run_identity``).
    """
    if known is None or not known.present:
        return [] if found is None else _appeared(found)
    if found is None:
        return _vanished(known)
    return [
        *_renamed(known, found),
        *_defined(known, found),
        *_run_changes(known, found, driver),
        *_undefined(known, found),
    ]


def _appeared(found: DomainFacts) -> list[Pair]:
    pairs: list[Pair] = [("defined", "added")] if found.persistent else []
    return pairs if found.state == INACTIVE else [*pairs, *_missed_start(found)]


def _vanished(known: Domain) -> list[Pair]:
    pairs: list[Pair] = [] if known.state == INACTIVE else [("stopped", UNKNOWN)]
    if known.start_pending:
        pairs = [("started", UNKNOWN), ("stopped", UNKNOWN)]
    return [*pairs, ("undefined", "removed")] if known.persistent else pairs


def _renamed(known: Domain, found: DomainFacts) -> list[Pair]:
    return [] if known.name == found.name else [("undefined", "renamed"), ("defined", "renamed")]


def _defined(known: Domain, found: DomainFacts) -> list[Pair]:
    return [("defined", "added")] if known.persistent is False and found.persistent else []


def _undefined(known: Domain, found: DomainFacts) -> list[Pair]:
    return [("undefined", "removed")] if known.persistent and not found.persistent else []


def _run_changes(known: Domain, found: DomainFacts, driver: str) -> list[Pair]:
    was, now = known.state != INACTIVE, found.state != INACTIVE
    if not was and not now:
        return _while_off(known, found.reason)
    if not was:
        # Its shutdown may have been reported already, when it was not known to run.
        return _missed_start(found, "shutdown" if known.has_early_shutdown(found.domain_id) else "running")
    if not now:
        return [("stopped", STOPPED.get(found.reason, UNKNOWN))]
    if is_another_run(known, found, driver):
        return [("stopped", UNKNOWN), *_missed_start(found)]
    return _state_changes(known.state, found)


def _while_off(known: Domain, after: str) -> list[Pair]:
    """Shut off before and now: another reason means another end, and so another start."""
    if known.start_pending:
        return [("started", UNKNOWN), ("stopped", STOPPED.get(after, UNKNOWN))]
    if not known.confirmed or known.reason == after or after not in STOPPED:
        return []
    # A failed start is no start.
    return [("stopped", after)] if after == "failed" else [("started", UNKNOWN), ("stopped", after)]


def _missed_start(found: DomainFacts, since: str = "running") -> list[Pair]:
    """A run whose start was missed; ``since``: the last reported state of it."""
    if (found.state, found.reason) == ("paused", "starting_up"):
        # Not yet: libvirt sends an event when it has started.
        return []
    if found.state == "running":
        return [("started", STARTED.get(found.reason, UNKNOWN))]
    if (found.state, found.reason) == ("paused", "migration"):
        # It is arriving; or it ran, and is migrating away.
        return [("started", UNKNOWN)]
    return [("started", UNKNOWN), *_state_changes(since, found)]


def _state_changes(before: str, found: DomainFacts) -> list[Pair]:
    """From one state of a run to another."""
    if found.state == before:
        return []
    if found.state == "running":
        if before == "pmsuspended":
            return [("started", "wakeup")] if found.reason == "wakeup" else [("started", UNKNOWN)]
        return [("resumed", RESUMED.get(found.reason, UNKNOWN))]
    event, reasons = _ENTERED.get(found.state, ("", {}))
    return [(event, reasons.get(found.reason, UNKNOWN))] if event else []


_RUN_EVENTS: Final = frozenset({"suspended", "stopped", "shutdown", "crashed", "pmsuspended"})
"""Events that only a started domain can send."""
_WITHOUT_RUN: Final = frozenset({("shutdown", "host")})
"""Exception: libvirt 11 sends it also for an incoming migration that was refused."""
_REASONS_WHILE_PAUSED: Final = frozenset({"migrated", "postcopy", "postcopy_failed", "guest_shutdown"})
"""Reasons of a suspension that a paused domain may send."""
_LASTING_PAUSES: Final = frozenset({"user", "ioerror", "watchdog", "api_error"})
"""Reasons for a pause that ends only with a resumption or a stop."""


_STATE_EVENTS: Final = _RUN_EVENTS | {"started"}
"""Events that determine the state of the domain, whatever was missed before them."""


def determines_state(change: Transition) -> bool:
    """Return whether this event determines the state of the domain, whatever was missed before it."""
    return change.event in _STATE_EVENTS and (change.event, change.detail) not in _WITHOUT_RUN


def infer_missed_before(known: Domain | None, change: Transition, driver: str = "") -> list[Pair]:
    """Return the (event, reason) pairs that must have happened between what is known and this event.

    Call it only where something may have been missed. ``known`` is None for a domain that was not there. Only
    starts and ends of runs are proved, and the end of a pause; not the beginning of a pause: a boot, too, is
    reported as a resumption first.
    """
    is_run_event = change.event in _RUN_EVENTS or (change.event, change.detail) == ("started", "wakeup")
    if known is None or not known.present or known.state == INACTIVE:
        return (
            [("started", UNKNOWN)]
            if is_run_event and (change.event, change.detail) not in _WITHOUT_RUN
            else []
        )
    is_other_run = is_another_id(known, change.domain_id, driver)
    if is_run_event and is_other_run:
        return [("stopped", UNKNOWN), ("started", UNKNOWN)]
    if is_other_run or (change.event == "started" and not is_run_event):
        return [("stopped", UNKNOWN)]
    if change.event == "suspended" and change.detail not in _REASONS_WHILE_PAUSED:
        was_paused = known.state == "paused" and known.reason in _LASTING_PAUSES
        return [("resumed", UNKNOWN)] if was_paused else []
    return []


def precedes(found: DomainFacts | None, change: Transition) -> bool:
    """Return whether an answer is certainly from before this event: an event may overtake an answer."""
    is_off = found is None or found.state == INACTIVE
    if change.event in ("started", "resumed"):
        return is_off
    return not is_off and (change.event == "stopped" or (found is not None and found.state == "running"))
