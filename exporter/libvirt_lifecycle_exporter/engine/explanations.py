"""Explains a pause or stop by the events that libvirt sent right before it.

Invariants: a cause explains one effect, of the same run, within ``MAX_DELAY`` seconds. Only ``message``
changes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libvirt_lifecycle_exporter.engine.record import DomainRecord
from libvirt_lifecycle_exporter.model.text import plain
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS, WATCHDOG_ACTIONS

MAX_DELAY: Final = 5.0
"""The longest time from a cause to its effect, seconds: libvirt sends both for one message of the
emulator."""

MAX_CAUSES: Final = 4
"""The most causes in one message: on a full file system, several disks may fail at once."""

LEADS_TO: Final[Mapping[tuple[str, int], tuple[str, str]]] = MappingProxyType(
    {
        ("io_error", IO_ERROR_ACTIONS.index("pause")): ("suspended", "ioerror"),
        ("watchdog", WATCHDOG_ACTIONS.index("pause")): ("suspended", "watchdog"),
        ("watchdog", WATCHDOG_ACTIONS.index("poweroff")): ("stopped", "hung"),
    }
)
"""(event, number of the action) -> the (event, reason) that follows."""

_EFFECTS: Final = frozenset(LEADS_TO.values())
_RESUMED: Final = "resumed"
"""After this event, earlier events explain nothing. (A start needs no row: it has another id.)"""


def explain(record: DomainRecord, change: Transition) -> Transition:
    """Return ``change``, with the messages of its causes if it has none of its own."""
    if (change.event, change.detail_code) in LEADS_TO:
        others = [one for one in record.causes if one.message != change.message]
        record.causes = [*others, change][-2 * MAX_CAUSES :]
        return change
    if not record.causes:
        return change
    is_effect = (change.event, change.reason) in _EFFECTS
    if change.event != _RESUMED and not is_effect:
        return change
    causes, record.causes = record.causes, []
    if not is_effect:
        return change
    messages = dict.fromkeys(one.message for one in causes if one.message and _is_cause_of(one, change))
    return change._replace(message=change.message or plain("; ".join([*messages][-MAX_CAUSES:])))


def _is_cause_of(cause: Transition, effect: Transition) -> bool:
    return (
        LEADS_TO[cause.event, cause.detail_code] == (effect.event, effect.reason)
        and cause.domain_id == effect.domain_id
        # abs(): the clock may have stepped back in between.
        and abs(effect.at - cause.at) <= MAX_DELAY
    )
