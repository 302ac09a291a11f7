"""Durations of operations, outages and hangs, measured between transitions.

Both transitions must have been observed. An inferred one (source ``reconcile``) has no time of its own: it
ends an operation without a duration.

Outcomes:

    success     the operation reached its goal
    failed      the operation ended otherwise, unintentionally
    cancelled   the domain runs on, or was stopped otherwise, on request
    timeout     the domain was destroyed while the operation was in progress
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.record import DomainRecord, Operation, Records
from libvirt_lifecycle_exporter.model.severity import CRASHED, FAILED
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

Pair = tuple[str, str]

ANY: Final = "*"
"""Any reason without a row of its own."""

SUCCESS: Final = "success"
FAILED_OUTCOME: Final = "failed"
CANCELLED: Final = "cancelled"
TIMEOUT: Final = "timeout"
OUTCOMES: Final = (SUCCESS, FAILED_OUTCOME, CANCELLED, TIMEOUT)
UNCOUNTED: Final = ""
"""The operation turned out to be another one: no duration."""

INFERRED: Final = "reconcile"
"""The source of an inferred transition."""

OUTAGE: Final = "outage"
HANG: Final = "hang"
OPERATIONS: Final = ("shutdown", "pause", "save", "restore", "migrate_in", "migrate_out", OUTAGE, HANG)

EXPECTED: Final[tuple[Pair, ...]] = (
    *((operation, SUCCESS) for operation in OPERATIONS),
    ("migrate_in", FAILED_OUTCOME),
    ("migrate_out", FAILED_OUTCOME),
    (OUTAGE, CANCELLED),
    (HANG, FAILED_OUTCOME),
)
"""The (operation, outcome) pairs that start at 0: increase() of a series that starts at 1 is 0."""

OUTAGES: Final = frozenset({CRASHED, FAILED})
"""Kinds of incident in which the domain does not run."""

BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds in seconds: a pause for a snapshot is short, an outage may last for hours."""

MEASURED: Final = (
    Operation(
        "shutdown",
        frozenset({("shutdown", "guest"), ("shutdown", "finished")}),
        {
            ("stopped", "shutdown"): SUCCESS,
            ("stopped", "quit"): SUCCESS,
            ("stopped", "destroyed"): TIMEOUT,
            ("stopped", ANY): FAILED_OUTCOME,
            ("resumed", ANY): CANCELLED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # libvirt sends "host" also when it ends an emulator itself (from 11 on, for a save, a migration, a
    # dump), or when one never started. Only the stop distinguishes them.
    Operation(
        "shutdown",
        frozenset({("shutdown", "host")}),
        {
            ("stopped", "shutdown"): SUCCESS,
            ("stopped", "quit"): SUCCESS,
            ("stopped", ANY): UNCOUNTED,
            ("resumed", ANY): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # Saving, migrating and reverting to a snapshot suspend the domain first; so does a panic, at times.
    Operation(
        "pause",
        frozenset({("suspended", "paused")}),
        {
            ("resumed", ANY): SUCCESS,
            ("stopped", "shutdown"): CANCELLED,
            ("stopped", "quit"): CANCELLED,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", "saved"): UNCOUNTED,
            ("stopped", "migrated"): UNCOUNTED,
            ("stopped", "from_snapshot"): UNCOUNTED,
            ("stopped", "recreated"): UNCOUNTED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("crashed", "panicked"): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # For a domain that was paused before, it is the time since then: events cannot distinguish the two.
    Operation(
        "save",
        frozenset({("suspended", "paused"), ("shutdown", "host")}),
        {
            ("stopped", "saved"): SUCCESS,
            ("stopped", ANY): UNCOUNTED,
            ("resumed", ANY): UNCOUNTED,
            ("started", ANY): UNCOUNTED,
        },
    ),
    Operation(
        "restore",
        frozenset({("started", "restored")}),
        {
            ("resumed", ANY): SUCCESS,
            ("suspended", "restored"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # A domain that was paused at the source arrives with suspended/paused.
    Operation(
        "migrate_in",
        frozenset({("started", "migrated")}),
        {
            ("resumed", "postcopy_failed"): FAILED_OUTCOME,
            ("resumed", ANY): SUCCESS,
            ("suspended", "paused"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
    # The last part, in which the guest is paused here: no event reports when copying began. A migration
    # that failed in post-copy may be resumed, and succeed.
    Operation(
        "migrate_out",
        frozenset({("suspended", "migrated"), ("suspended", "postcopy")}),
        {
            ("stopped", "migrated"): SUCCESS,
            ("stopped", "destroyed"): CANCELLED,
            ("stopped", ANY): FAILED_OUTCOME,
            ("resumed", ANY): FAILED_OUTCOME,
            ("started", ANY): UNCOUNTED,
        },
    ),
)
"""Every operation except outages and hangs; one that begins in two ways has two rows."""

BEGINS: Final[Mapping[Pair, tuple[Operation, ...]]] = MappingProxyType(
    {
        pair: tuple(operation for operation in MEASURED if pair in operation.begins)
        for pair in {pair for operation in MEASURED for pair in operation.begins}
    }
)
"""(event, reason) -> the operations that it begins."""


HANG_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {"recovered": SUCCESS, "stopped": FAILED_OUTCOME, "started": UNCOUNTED}
)
"""Event -> the outcome of a hang."""


class Duration(NamedTuple):
    """How long an operation took."""

    connection: str
    operation: str
    outcome: str
    seconds: float

    @property
    def bucket(self) -> int:
        """The index of its bucket in ``BUCKETS``; their number for the last one, +Inf."""
        return bisect_left(BUCKETS, self.seconds)


def observe(record: DomainRecord, change: Transition) -> list[Duration]:
    """Return the operations that ``change`` ends, and record those that it begins.

    ``hangs`` must have processed the change before.
    """
    ended: list[Duration] = []
    if record.operations:
        ended += _end(record, change)
    if record.hang_began is not None or change.event == "hung":
        ended += _end_hang(record, change)
    if change.source == INFERRED:
        return []
    for operation in BEGINS.get((change.event, change.reason), ()):
        if all(other.name != operation.name for other in record.operations):
            record.operations[operation] = change.at
    return ended


def outage_of(incident: Incident, *, removed: bool = False) -> list[Duration]:
    """Return the outage that an incident was, if it is closed; ``removed``: the domain was removed before."""
    if incident.kind not in OUTAGES or incident.closed_at is None:
        return []
    outcome = CANCELLED if removed else SUCCESS
    return [_duration(incident.connection, OUTAGE, outcome, incident.opened_at, incident.closed_at)]


def shift(records: Records, jump: float) -> None:
    """Shift the stored times by a jump of the wall clock, in seconds, so that no duration contains it."""
    for record in records:
        for operation in record.operations:
            record.operations[operation] += jump
        if record.hang_began is not None:
            record.hang_began += jump


def _end(record: DomainRecord, change: Transition) -> Iterator[Duration]:
    for operation, began in list(record.operations.items()):
        outcome = operation.outcome(change)
        if outcome is None:
            continue
        del record.operations[operation]
        if outcome != UNCOUNTED:
            yield _duration(change.connection, operation.name, outcome, began, change.at)


def _end_hang(record: DomainRecord, change: Transition) -> Iterator[Duration]:
    """One hang lasts from the first signal until no signal is hung."""
    if change.event == "hung" and record.hang_began is None:
        record.hang_began = change.at
    outcome = HANG_ENDS.get(change.event)
    if outcome is None or record.hang_began is None or (change.event == "recovered" and record.hung):
        return
    began, record.hang_began = record.hang_began, None
    if outcome != UNCOUNTED:
        yield _duration(change.connection, HANG, outcome, began, change.at)


def _duration(connection: str, operation: str, outcome: str, began: float, ended: float) -> Duration:
    # After a step back of the clock, a duration must not be negative.
    return Duration(connection, operation, outcome, max(0.0, ended - began))
