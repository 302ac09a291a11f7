"""Names of the states of a domain and their reasons, and the state after each event.

Invariant: as in ``vocabulary``, unknown numbers become ``unknown_<n>``.

Source: virDomainState and virDomain*Reason,
https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainState
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libvirt_lifecycle_exporter.model.vocabulary import numbered

STATES: Final = (
    "nostate",
    "running",
    "blocked",
    "paused",
    "shutdown",
    "shutoff",
    "crashed",
    "pmsuspended",
)
"""virDomainState; the index is libvirt's number."""

UNKNOWN: Final = "unknown"
"""The exporter's own state: the connection is down, and the last known state is no longer observed."""
CONNECTION_DOWN: Final = "connection_down"
"""The reason of ``UNKNOWN``."""
SHOWN_STATES: Final = (*STATES, UNKNOWN)
"""The values of the state set. No domain record is ever in ``UNKNOWN``: the last known state is kept."""

STATE_REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "nostate": ("unknown",),
        "running": (
            "unknown",
            "booted",
            "migrated",
            "restored",
            "from_snapshot",
            "unpaused",
            "migration_canceled",
            "save_canceled",
            "wakeup",
            "crashed",
            "postcopy",
            "postcopy_failed",
        ),
        "blocked": ("unknown",),
        "paused": (
            "unknown",
            "user",
            "migration",
            "save",
            "dump",
            "ioerror",
            "watchdog",
            "from_snapshot",
            "shutting_down",
            "snapshot",
            "crashed",
            "starting_up",
            "postcopy",
            "postcopy_failed",
            "api_error",
        ),
        "shutdown": ("unknown", "user"),
        "shutoff": (
            "unknown",
            "shutdown",
            "destroyed",
            "crashed",
            "migrated",
            "saved",
            "failed",
            "from_snapshot",
            "daemon",
        ),
        "crashed": ("unknown", "panicked"),
        "pmsuspended": ("unknown",),
    }
)
"""virDomain*Reason: the reason's number is its place."""

SINCE: Final[Mapping[tuple[str, str], int]] = MappingProxyType({("paused", "api_error"): 9_002_000})
"""The libvirt version that brought a state reason younger than the oldest supported one."""

INACTIVE: Final = "shutoff"
"""The one state in which a domain has no emulator; a transient domain in it is gone."""

AFTER_EVENT: Final[Mapping[tuple[str, str], tuple[str, str]]] = MappingProxyType(
    {
        ("started", "booted"): ("running", "booted"),
        # The guest stands still until all of it is here.
        ("started", "migrated"): ("paused", "migration"),
        ("started", "restored"): ("running", "restored"),
        ("started", "from_snapshot"): ("running", "from_snapshot"),
        ("started", "wakeup"): ("running", "wakeup"),
        ("started", "recreated"): ("running", "booted"),
        ("suspended", "paused"): ("paused", "user"),
        ("suspended", "migrated"): ("paused", "migration"),
        ("suspended", "ioerror"): ("paused", "ioerror"),
        ("suspended", "watchdog"): ("paused", "watchdog"),
        ("suspended", "restored"): ("paused", "from_snapshot"),
        ("suspended", "from_snapshot"): ("paused", "from_snapshot"),
        ("suspended", "api_error"): ("paused", "api_error"),
        ("suspended", "postcopy"): ("paused", "postcopy"),
        ("suspended", "postcopy_failed"): ("paused", "postcopy_failed"),
        ("suspended", "guest_shutdown"): ("paused", "shutting_down"),
        ("resumed", "unpaused"): ("running", "unpaused"),
        ("resumed", "migrated"): ("running", "migrated"),
        ("resumed", "from_snapshot"): ("running", "from_snapshot"),
        ("resumed", "postcopy"): ("running", "postcopy"),
        ("resumed", "postcopy_failed"): ("running", "postcopy_failed"),
        ("stopped", "shutdown"): ("shutoff", "shutdown"),
        ("stopped", "destroyed"): ("shutoff", "destroyed"),
        ("stopped", "crashed"): ("shutoff", "crashed"),
        ("stopped", "migrated"): ("shutoff", "migrated"),
        ("stopped", "saved"): ("shutoff", "saved"),
        ("stopped", "failed"): ("shutoff", "failed"),
        ("stopped", "from_snapshot"): ("shutoff", "from_snapshot"),
        ("stopped", "recreated"): ("shutoff", "destroyed"),
        ("shutdown", "finished"): ("shutdown", "unknown"),
        ("shutdown", "guest"): ("shutdown", "unknown"),
        ("shutdown", "host"): ("shutdown", "unknown"),
        ("pmsuspended", "memory"): ("pmsuspended", "unknown"),
        ("pmsuspended", "disk"): ("pmsuspended", "unknown"),
        ("crashed", "panicked"): ("crashed", "panicked"),
    }
)
"""(event, reason) -> (state, reason) at once; libvirt is asked right after and has the last word.

``defined`` and ``undefined`` change no state, and a guest that crash-loaded (kdump) runs on.
"""

AFTER_ANY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "started": "running",
        "suspended": "paused",
        "resumed": "running",
        "stopped": "shutoff",
        "shutdown": "shutdown",
        "pmsuspended": "pmsuspended",
    }
)
"""The state after an event whose reason is from the future."""


def state_after(event: str, reason: str) -> tuple[str, str] | None:
    """Return the (state, reason) that a transition leads to; None where it changes no state."""
    known = AFTER_EVENT.get((event, reason))
    if known is None and reason.startswith("unknown") and event in AFTER_ANY:
        return AFTER_ANY[event], "unknown"
    return known


def state_pair(state: int, reason: int) -> tuple[str, str]:
    """Name libvirt's (state, reason); numbers from the future become ``unknown_<n>``."""
    name = numbered(STATES, state)
    return name, numbered(STATE_REASONS.get(name, ()), reason)
