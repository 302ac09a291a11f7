"""Pairs (event, reason) of libvirt's events, derived only from the constants of the libvirt module."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import libvirt

Pair = tuple[str, str]

REBOOT_BURST = 0.5
"""Seconds. One reset of a guest sends two or three REBOOT events within milliseconds."""


def words(prefix: str) -> dict[int, str]:
    return {
        number: name.removeprefix(prefix).lower()
        for name, number in vars(libvirt).items()
        if name.startswith(prefix) and not name.endswith("_LAST")
    }


LIFECYCLE = (
    *("DEFINED", "UNDEFINED", "STARTED", "SUSPENDED", "RESUMED"),
    *("STOPPED", "SHUTDOWN", "PMSUSPENDED", "CRASHED"),
)
EVENTS = {getattr(libvirt, f"VIR_DOMAIN_EVENT_{name}"): name.lower() for name in LIFECYCLE}
REASONS = {event: words(f"VIR_DOMAIN_EVENT_{name.upper()}_") for event, name in EVENTS.items()}
WATCHDOG = words("VIR_DOMAIN_EVENT_WATCHDOG_") | {libvirt.VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI: "inject_nmi"}


def word(table: Mapping[int, str], number: int) -> str:
    return table.get(number, f"unknown_{number}")


@dataclass(frozen=True)
class Event:
    """One line of the event recorder. `time`: CLOCK_MONOTONIC, which all processes of a machine share."""

    time: float
    kind: str
    domain: str = ""
    uuid: str = ""
    id: int = -1
    arguments: tuple[Any, ...] = field(default=())

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> "Event":
        return cls(**(entry | {"arguments": tuple(entry.get("arguments", ()))}))

    @property
    def pair(self) -> Pair | None:
        """None if the event is no transition, e.g. a block job or a changed title."""
        match self.kind, self.arguments:
            case "lifecycle", (int(event), int(detail)):
                return word(EVENTS, event), word(REASONS.get(event, {}), detail)
            case "reboot", _:
                return "rebooted", "reset"
            case "watchdog", (int(action), *_):
                return "watchdog", word(WATCHDOG, action)
            case "io_error_reason", (_, _, _, reason):
                return "io_error", "enospc" if reason == "enospc" else "other"
            case "control_error", _:
                return "control_error", "control_error"
        return None

    def matches(self, event: str, detail: str | None) -> bool:
        """Compare with a pair, or with the name of the event id if the event has no pair."""
        words = self.pair or (self.kind, None)
        return words[0] == event and detail in (None, words[1])

    def __str__(self) -> str:
        return "/".join(self.pair) if self.pair else f"({self.kind})"


def count_pairs(events: Iterable[Event]) -> Counter[Pair]:
    counts: Counter[Pair] = Counter()
    rebooted = float("-inf")
    for event in events:
        if event.kind == "reboot":
            if event.time - rebooted < REBOOT_BURST:
                continue
            rebooted = event.time
        if event.pair is not None:
            counts[event.pair] += 1
    return counts
