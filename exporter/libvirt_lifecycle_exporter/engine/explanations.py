"""Pure: what libvirt tells right before a pause says why it paused.

Law: words are lent once, to the same run, while they are fresh; nothing but ``message`` is ever changed.
No clock, no I/O, no libvirt.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libvirt_lifecycle_exporter.model.text import plain
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS, WATCHDOG_ACTIONS

FRESH: Final = 5.0
"""Seconds from a cause to its effect at most: libvirt tells both from one message of the emulator."""

MOST: Final = 4
"""Explanations of one effect that are told: when a file system is full, several disks may fail at once."""

MEMORY: Final = 65_536
"""Domains of which causes are remembered before the oldest is let go."""

LEADS_TO: Final[Mapping[tuple[str, int], tuple[str, str]]] = MappingProxyType(
    {
        ("io_error", IO_ERROR_ACTIONS.index("pause")): ("suspended", "ioerror"),
        ("watchdog", WATCHDOG_ACTIONS.index("pause")): ("suspended", "watchdog"),
        ("watchdog", WATCHDOG_ACTIONS.index("poweroff")): ("stopped", "hung"),
    }
)
"""Event and the action that libvirt says it takes -> the event and reason that it does take."""

_EFFECTS: Final = frozenset(LEADS_TO.values())
_OVER: Final = "resumed"
"""After this event what was told before explains nothing. (A start tells nothing new: it is another id.)"""

Key = tuple[str, str]
"""connection, uuid"""


class Explanations:
    """Remembers what was told that may lead to a pause, until it does."""

    def __init__(self) -> None:
        self._told: dict[Key, list[Transition]] = {}

    def explain(self, change: Transition) -> Transition:
        """Return ``change``, with the words of its causes if it has none of its own."""
        key = (change.connection, change.uuid)
        if (change.event, change.detail_code) in LEADS_TO:
            self._remember(key, change)
        elif change.event == _OVER:
            self._told.pop(key, None)
        elif (change.event, change.reason) in _EFFECTS:
            told = self._told.pop(key, ())
            words = dict.fromkeys(cause.message for cause in told if cause.message and _led(cause, change))
            return change._replace(message=change.message or plain("; ".join([*words][-MOST:])))
        return change

    def _remember(self, key: Key, cause: Transition) -> None:
        if key not in self._told and len(self._told) >= MEMORY:
            del self._told[next(iter(self._told))]
        told = [one for one in self._told.get(key, ()) if one.message != cause.message]
        self._told[key] = [*told, cause][-2 * MOST :]


def _led(cause: Transition, effect: Transition) -> bool:
    return (
        LEADS_TO[cause.event, cause.detail_code] == (effect.event, effect.reason)
        and cause.domain_id == effect.domain_id
        # abs(): the clock may have stepped back in between.
        and abs(effect.at - cause.at) <= FRESH
    )
