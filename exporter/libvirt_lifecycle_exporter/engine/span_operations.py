"""The operations that are spans: which transitions begin, belong to and end each of them. Tables only.

    operation           begins with             ends with               further transitions on the same span
    start, restore      resumed, in a new run   started                 -
    restore             started/restored        resumed, suspended      -
    migrate in          started/migrated        resumed, suspended      suspended/migrated
    migrate out         suspended/migrated      stopped, resumed        shutdown, suspended/postcopy
    shut down, stop     shutdown                stopped, resumed        shutdown
    any other           a span of its own, closed immediately

Outcomes are those of ``engine.durations``, which also measures conditions that last; these spans do not.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.severity import MEANINGS

Pair = tuple[str, str]

OPERATION_LIMIT: Final = 600.0
"""Seconds after which an operation that did not end is closed with the outcome ``timeout``."""

SUCCESS: Final = "success"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TIMEOUT: Final = "timeout"
UNKNOWN: Final = "unknown"
"""The domain began another run before the end of the operation was reported."""

START: Final = "start domain"
RESTORE: Final = "restore domain"
SAVE: Final = "save domain"
MIGRATE_IN: Final = "migrate domain in"
MIGRATE_OUT: Final = "migrate domain out"
SHUT_DOWN: Final = "shut down domain"
STOP: Final = "stop domain"
RUN: Final = "run domain"

ANY: Final = "*"
"""Matches the reasons of an event that have no entry of their own."""

SPAN_NAMES: Final[Mapping[str, str]] = MappingProxyType(
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
"""Event -> span name of a transition that is not part of an operation."""

OTHER_NAME: Final = "domain event"
"""Span name of an event that this version does not know."""

_NAMES: Final = MappingProxyType(
    {
        "shutdown": SHUT_DOWN,
        "save": SAVE,
        "restore": RESTORE,
        "migrate_in": MIGRATE_IN,
        "migrate_out": MIGRATE_OUT,
    }
)
"""Operation of ``model.severity`` -> span name."""

OPERATION_NAMES: Final[Mapping[Pair, str]] = MappingProxyType(
    {pair: _NAMES[meaning.operation] for pair, meaning in MEANINGS.items() if meaning.operation}
)
"""(event, reason) -> final name of the operation that it ends, or that consists of it alone."""

SUCCESSFUL_ALONE: Final = frozenset({START, RESTORE, SAVE, MIGRATE_IN, MIGRATE_OUT, SHUT_DOWN})
"""Operations whose outcome is success if libvirt reports them as a single transition."""


class SpanOperation(NamedTuple):
    """The transitions that belong to an open operation. Any other transition has a span of its own."""

    ends: Mapping[Pair, str]
    """(event, reason or ANY) -> outcome."""
    includes: frozenset[Pair] = frozenset()
    """Transitions on the same span that do not end it."""


_ARRIVAL_ENDS: Final = MappingProxyType(
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
OPERATIONS: Final[Mapping[str, SpanOperation]] = MappingProxyType(
    {
        START: SpanOperation(
            {("started", ANY): SUCCESS, ("stopped", "destroyed"): CANCELLED, ("stopped", ANY): FAILED}
        ),
        RESTORE: SpanOperation(_ARRIVAL_ENDS),
        MIGRATE_IN: SpanOperation(_ARRIVAL_ENDS, frozenset({("suspended", "migrated")})),
        MIGRATE_OUT: SpanOperation(
            {
                ("stopped", "migrated"): SUCCESS,
                ("stopped", "destroyed"): CANCELLED,
                ("stopped", ANY): FAILED,
                ("resumed", ANY): FAILED,
                ("started", ANY): UNKNOWN,
            },
            frozenset({("shutdown", ANY), ("suspended", "postcopy"), ("suspended", "migrated")}),
        ),
        SHUT_DOWN: SpanOperation(
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
        # libvirt terminates the emulator to destroy, save or migrate the domain. Only the stop shows which.
        STOP: SpanOperation(
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
"""Operation -> its transitions. A guest that is destroyed during its shutdown has the outcome timeout."""

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
"""(event, reason or ANY) -> the operation that it begins. A ``resumed`` that begins a run begins START."""

INFERRED: Final = "reconcile"
"""The source of an inferred transition. It begins no operation, because the operation may be long over."""

PAUSED: Final = "paused"
PM_SUSPENDED: Final = "pmsuspended"
CONDITIONS_ENTERED: Final[Mapping[str, str]] = MappingProxyType(
    {"suspended": PAUSED, "pmsuspended": PM_SUSPENDED}
)
"""Event -> the condition that it enters. ``hung`` enters one per signal; an incident is a condition too."""
ENDS_ALL_CONDITIONS: Final = frozenset({"stopped", "started"})
"""Events that end every condition."""
CONDITIONS_ENDED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"resumed": frozenset({PAUSED, PM_SUSPENDED})}
)
"""Event -> the conditions that it ends."""

MAX_CONDITIONS: Final = 16
"""Conditions that are stored per domain."""
