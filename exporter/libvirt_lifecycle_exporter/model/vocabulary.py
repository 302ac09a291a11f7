"""Names of all events and reasons, with libvirt's numbers. Tables only.

Invariants: a number that is in no table becomes ``unknown_<n>``; it is never dropped and never an error. The
number of label values is bounded: numbers outside 0..99 become ``unknown_other``, free-form words ``other``.

Names are libvirt's constants in lower snake case without prefix:
https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainEventType
Tests compare the tables in both directions with the ``libvirt`` module and libvirt's API description.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LIFECYCLE: Final = "lifecycle"
"""The observation kind (libvirt's VIR_DOMAIN_EVENT_ID_LIFECYCLE) that carries event and detail."""

OBSERVED_KINDS: Final = (
    LIFECYCLE,
    "reboot",
    "watchdog",
    "io_error_reason",
    "control_error",
    "agent_lifecycle",
    "job_completed",
    "metadata_change",
    "memory_failure",
)
"""The event ids for which callbacks are registered: VIR_DOMAIN_EVENT_ID_* in lower snake case."""

EVENTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "defined",
        1: "undefined",
        2: "started",
        3: "suspended",
        4: "resumed",
        5: "stopped",
        6: "shutdown",
        7: "pmsuspended",
        8: "crashed",
    }
)
"""virDomainEventType"""

REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "defined": ("added", "updated", "renamed", "from_snapshot"),
        "undefined": ("removed", "renamed"),
        "started": ("booted", "migrated", "restored", "from_snapshot", "wakeup", "recreated"),
        "suspended": (
            "paused",
            "migrated",
            "ioerror",
            "watchdog",
            "restored",
            "from_snapshot",
            "api_error",
            "postcopy",
            "postcopy_failed",
            "guest_shutdown",
        ),
        "resumed": ("unpaused", "migrated", "from_snapshot", "postcopy", "postcopy_failed"),
        "stopped": (
            "shutdown",
            "destroyed",
            "crashed",
            "migrated",
            "saved",
            "failed",
            "from_snapshot",
            "recreated",
        ),
        "shutdown": ("finished", "guest", "host"),
        "pmsuspended": ("memory", "disk"),
        "crashed": ("panicked", "crashloaded"),
    }
)
"""virDomainEvent*DetailType: the reason's number is its place."""

SINCE: Final[Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        ("started", "recreated"): 11_006_000,
        ("stopped", "recreated"): 11_006_000,
        ("suspended", "guest_shutdown"): 11_010_000,
    }
)
"""The libvirt version (as virGetVersion counts) that brought a pair younger than the oldest supported one."""

WATCHDOG_ACTIONS: Final = ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi")
"""virDomainEventWatchdogAction: the action's number is its place."""

IO_ERROR_ACTIONS: Final = ("none", "pause", "report")
"""virDomainEventIOErrorAction: the action's number is its place."""

IO_ERROR_REASONS: Final = ("enospc", "other")
"""libvirt sends a free word; ``enospc`` is the only one it promises, all others are ``other``."""

TOLD_ELSEWHERE: Final = "message"
"""The reason of an I/O error whose details libvirt 11.1 and newer return from virDomainGetMessages."""

NON_LIFECYCLE_EVENTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "reboot": ("rebooted", ("reset",)),
        "watchdog": ("watchdog", WATCHDOG_ACTIONS),
        "io_error_reason": ("io_error", IO_ERROR_REASONS),
        "control_error": ("control_error", ("control_error",)),
    }
)
"""Observation kind (libvirt's event id) -> the event it counts as, and that event's reasons.

libvirt sends REBOOT without a reason: for a guest's reboot, its watchdog's reset and ``virsh reset``.
"""

ALL_PAIRS: Final[tuple[tuple[str, str], ...]] = tuple(
    (event, reason)
    for event, reasons in [*REASONS.items(), *NON_LIFECYCLE_EVENTS.values()]
    for reason in reasons
)
"""Every known (event, reason)."""

DIAGNOSED: Final = (("stopped", "quit"), ("stopped", "hung"))
"""(event, reason) pairs that only the exporter determines."""

HUNG: Final = "hung"
RECOVERED: Final = "recovered"
"""The events of the exporter's own hang detection; libvirt sends neither."""

HANG_SIGNALS: Final = ("emulator", "watchdog", "guest_agent", "vcpu")
"""What does not answer, or which timer expired: the reasons of ``hung`` and ``recovered``."""

HANG_PAIRS: Final = tuple((event, signal) for event in (HUNG, RECOVERED) for signal in HANG_SIGNALS)

UNKNOWN: Final = "unknown"
"""The reason of an inferred transition whose cause cannot be proven."""

COUNTED_PAIRS: Final[tuple[tuple[str, str], ...]] = (
    *ALL_PAIRS,
    *DIAGNOSED,
    *HANG_PAIRS,
    *((event, UNKNOWN) for event in REASONS if event not in ("defined", "undefined")),
)
"""Every (event, reason) that can be counted, except ``unknown_<n>``."""

ALERT_PAIRS: Final[tuple[tuple[str, str], ...]] = (
    ("stopped", "crashed"),
    ("stopped", "hung"),
    ("stopped", "failed"),
    ("crashed", "panicked"),
    ("crashed", "crashloaded"),
    ("suspended", "ioerror"),
    ("suspended", "watchdog"),
)
"""The pairs that start at 0 for every known domain: increase() of a series that starts at 1 is 0."""


def alert_pairs(signals: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return all pairs that start at 0, including those of the enabled hang signals."""
    return (*ALERT_PAIRS, *((HUNG, signal) for signal in signals))


EXPLAINED: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        ("stopped", "crashed"),
        ("stopped", "failed"),
        ("stopped", "hung"),
        ("stopped", "quit"),
        ("crashed", "panicked"),
        ("crashed", "crashloaded"),
        ("suspended", "ioerror"),
        ("suspended", "watchdog"),
        ("suspended", "api_error"),
        ("suspended", "postcopy_failed"),
        ("io_error", "other"),
        ("control_error", "control_error"),
    }
)
"""The pairs for which a message is collected from logs if the event has none."""

INCIDENT_KINDS: Final = ("crashed", "hung", "io_error", "failed")
"""The kinds of incidents."""

_LIFECYCLE_PAIRS: Final[dict[tuple[int, int], tuple[str, str]]] = {
    (number, detail): (event, reason)
    for number, event in EVENTS.items()
    for detail, reason in enumerate(REASONS[event])
}


_FREE_FORM: Final = frozenset({"io_error"})
"""Events whose detail is free text from libvirt."""
UNKNOWN_OTHER: Final = "unknown_other"
_KNOWN_PAIRS: Final = frozenset((*ALL_PAIRS, ("io_error", TOLD_ELSEWHERE)))
_NUMBERS: Final = range(100)
"""Unknown numbers that keep their number as a label value; libvirt's own tables have at most 10 entries."""


def lifecycle_pair(event: int, detail: int) -> tuple[str, str]:
    """Return the names of libvirt's (event, detail); unknown numbers become ``unknown_<n>``."""
    known = _LIFECYCLE_PAIRS.get((event, detail))
    return known or (EVENTS.get(event) or _unknown(event), _unknown(detail))


def raw_detail(event: str, detail: str) -> str:
    """Return the label value for libvirt's own detail; a free-form word becomes ``other``."""
    is_free = event in _FREE_FORM and (event, detail) not in _KNOWN_PAIRS
    return "other" if is_free else detail


def numbered(words: tuple[str, ...], number: int) -> str:
    """Return the name with this number; an unknown number becomes ``unknown_<n>``."""
    return words[number] if 0 <= number < len(words) else _unknown(number)


def _unknown(number: int) -> str:
    return f"unknown_{number}" if number in _NUMBERS else UNKNOWN_OTHER
