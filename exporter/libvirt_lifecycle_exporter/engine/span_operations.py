"""The operations of OpenTelemetry's spans: how each is begun, met on its way and ended. Tables only.

    operation           from                    to                      what else may come on the same span
    start, restore      resumed, in a new run   started                 -
    restore             started/restored        resumed, suspended      -
    migrate in          started/migrated        resumed, suspended      suspended/migrated
    migrate out         suspended/migrated      stopped, resumed        shutdown, suspended/postcopy
    shut down, stop     shutdown                stopped, resumed        shutdown
    all else            a span of its own, closed at once

The words of outcomes are those of ``operations``; its figures are about what lasts, too, these spans are not.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

Pair = tuple[str, str]

LIMIT: Final = 600.0
"""Seconds after which an operation that did not end is over."""

SUCCESS: Final = "success"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TIMEOUT: Final = "timeout"
UNKNOWN: Final = "unknown"
"""The domain began another run before it was told how this ended."""

START: Final = "start domain"
RESTORE: Final = "restore domain"
SAVE: Final = "save domain"
MIGRATE_IN: Final = "migrate domain in"
MIGRATE_OUT: Final = "migrate domain out"
SHUT_DOWN: Final = "shut down domain"
STOP: Final = "stop domain"
RUN: Final = "run domain"

ANY: Final = "*"
"""Stands for the reasons of an event that have no entry of their own."""

INSTANT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "defined": "define domain",
        "undefined": "undefine domain",
        "started": START,
        "suspended": "pause domain",
        "resumed": "resume domain",
        "stopped": STOP,
        "shutdown": SHUT_DOWN,
        "pmsuspended": "domain falls asleep",
        "crashed": "domain crashes",
        "rebooted": "reboot domain",
        "watchdog": "domain's watchdog fires",
        "io_error": "domain meets I/O error",
        "control_error": "domain cannot be controlled",
        "hung": "domain hangs",
        "recovered": "domain recovers",
    }
)
"""Event -> the name of its span where it is no part of an operation."""

OTHER: Final = "domain event"
"""The name where the event is from the future."""

NAMES: Final[Mapping[Pair, str]] = MappingProxyType(
    {
        ("started", "restored"): RESTORE,
        ("started", "migrated"): MIGRATE_IN,
        ("stopped", "shutdown"): SHUT_DOWN,
        ("stopped", "quit"): SHUT_DOWN,
        ("stopped", "saved"): SAVE,
        ("stopped", "migrated"): MIGRATE_OUT,
    }
)
"""(event, reason) -> what an operation turns out to have been when this ends it, or is all of it."""

WHOLE: Final = frozenset({START, RESTORE, SAVE, MIGRATE_IN, MIGRATE_OUT, SHUT_DOWN})
"""Operations that were a success where a single transition is all that was told of them."""


class Course(NamedTuple):
    """What an operation that is under way may still meet. Anything else has a span of its own."""

    ends: Mapping[Pair, str]
    """(event, reason or any) -> the outcome."""
    takes: frozenset[Pair] = frozenset()
    """What goes on the same span and ends nothing."""


_ARRIVES: Final = MappingProxyType(
    {
        ("resumed", "postcopy_failed"): FAILED,
        ("resumed", ANY): SUCCESS,
        ("suspended", "restored"): SUCCESS,
        ("suspended", "paused"): SUCCESS,
        ("stopped", "destroyed"): CANCELLED,
        ("stopped", ANY): FAILED,
        ("started", ANY): UNKNOWN,
    }
)
COURSES: Final[Mapping[str, Course]] = MappingProxyType(
    {
        START: Course(
            {("started", ANY): SUCCESS, ("stopped", "destroyed"): CANCELLED, ("stopped", ANY): FAILED}
        ),
        RESTORE: Course(_ARRIVES),
        MIGRATE_IN: Course(_ARRIVES, frozenset({("suspended", "migrated")})),
        MIGRATE_OUT: Course(
            {
                ("stopped", "migrated"): SUCCESS,
                ("stopped", "destroyed"): CANCELLED,
                ("stopped", ANY): FAILED,
                ("resumed", ANY): FAILED,
                ("started", ANY): UNKNOWN,
            },
            frozenset({("shutdown", ANY), ("suspended", "postcopy"), ("suspended", "migrated")}),
        ),
        SHUT_DOWN: Course(
            {
                ("stopped", "shutdown"): SUCCESS,
                ("stopped", "quit"): SUCCESS,
                ("stopped", "saved"): SUCCESS,
                ("stopped", "migrated"): SUCCESS,
                ("stopped", "destroyed"): TIMEOUT,
                ("stopped", ANY): FAILED,
                ("resumed", ANY): CANCELLED,
                ("started", ANY): UNKNOWN,
            },
            frozenset({("shutdown", ANY)}),
        ),
        # How libvirt itself ends an emulator: to destroy, save or move the domain. Only the stop tells.
        STOP: Course(
            {
                ("stopped", "crashed"): FAILED,
                ("stopped", "failed"): FAILED,
                ("stopped", "hung"): FAILED,
                ("stopped", ANY): SUCCESS,
                ("resumed", ANY): CANCELLED,
                ("started", ANY): UNKNOWN,
            },
            frozenset({("shutdown", ANY)}),
        ),
    }
)
"""Operation -> its course. A guest that is destroyed while it shuts down was lost patience with: timeout."""

BEGINS: Final[Mapping[Pair, str]] = MappingProxyType(
    {
        ("started", "restored"): RESTORE,
        ("started", "migrated"): MIGRATE_IN,
        ("suspended", "migrated"): MIGRATE_OUT,
        ("suspended", "postcopy"): MIGRATE_OUT,
        ("shutdown", "host"): STOP,
        ("shutdown", ANY): SHUT_DOWN,
    }
)
"""(event, reason or any) -> the operation that it begins; beside a ``resumed`` that begins a run."""

INFERRED: Final = "reconcile"
"""The source of a transition that nobody saw: it begins nothing, since its end may be long past."""

PAUSED: Final = "paused"
ASLEEP: Final = "pmsuspended"
ENTERS: Final[Mapping[str, str]] = MappingProxyType({"suspended": PAUSED, "pmsuspended": ASLEEP})
"""Event -> the condition that it enters; ``hung`` enters one for each signal, an incident one for itself."""
LEAVES_ALL: Final = frozenset({"stopped", "started"})
LEAVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType({"resumed": frozenset({PAUSED, ASLEEP})})

MOST_CONDITIONS: Final = 16
