"""What each (event, reason) pair means: severity, kind of incident, completed operation. Tables only.

This is the only place that decides what a failure is:

* ``otel.encoding``    the severity of log records; status ERROR and ``error.type`` of spans
* ``cli.views``        the rows that ``events`` marks: warnings and errors
* ``engine.incidents`` the kind of incident that a transition is evidence of
* ``engine.span_operations`` the name of the span that a transition completes

Invariant: a transition that is evidence of an incident has severity ERROR. A pair without an entry is INFO,
opens no incident and completes no operation: a plain destroy is not a failure.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS

ANY: Final = "*"
"""Matches the reasons of an event that have no entry of their own."""

CRASHED: Final = "crashed"
HUNG: Final = "hung"
IO_ERROR: Final = "io_error"
FAILED: Final = "failed"


class Severity(IntEnum):
    """How serious a transition is."""

    INFO = 0
    WARNING = 1
    """A fault of the host or of libvirt that the domain survives."""
    ERROR = 2
    """The domain has failed."""


class Meaning(NamedTuple):
    """The meaning of a transition."""

    severity: Severity = Severity.INFO
    incident_kind: str = ""
    """Kind of the incident that the transition is evidence of; "": none."""
    operation: str = ""
    """Operation that the transition completes (a value of the label ``operation``); "": none."""


MEANINGS: Final[Mapping[tuple[str, str], Meaning]] = MappingProxyType(
    {
        ("stopped", "crashed"): Meaning(Severity.ERROR, CRASHED),
        ("stopped", "hung"): Meaning(Severity.ERROR, HUNG),
        ("stopped", "failed"): Meaning(Severity.ERROR, FAILED),
        ("stopped", "shutdown"): Meaning(operation="shutdown"),
        ("stopped", "quit"): Meaning(operation="shutdown"),
        ("stopped", "saved"): Meaning(operation="save"),
        ("stopped", "migrated"): Meaning(operation="migrate_out"),
        ("started", "restored"): Meaning(operation="restore"),
        ("started", "migrated"): Meaning(operation="migrate_in"),
        ("crashed", ANY): Meaning(Severity.ERROR, CRASHED),
        ("hung", ANY): Meaning(Severity.ERROR, HUNG),
        ("watchdog", "poweroff"): Meaning(Severity.ERROR, HUNG),
        ("suspended", "watchdog"): Meaning(Severity.ERROR, HUNG),
        ("suspended", "ioerror"): Meaning(Severity.ERROR, IO_ERROR),
        # The management API failed and left the domain paused; an operator can resume it.
        ("suspended", "api_error"): Meaning(Severity.ERROR),
        ("suspended", "postcopy_failed"): Meaning(Severity.ERROR, FAILED),
        ("resumed", "postcopy_failed"): Meaning(Severity.ERROR, FAILED),
        ("io_error", ANY): Meaning(Severity.WARNING),
        ("control_error", ANY): Meaning(Severity.WARNING),
    }
)
"""(event, reason or ANY) -> meaning."""

IO_ERROR_PAUSE: Final = Meaning(Severity.ERROR, IO_ERROR)
"""Meaning of ``io_error`` if its action pauses the domain. With other actions, the domain runs on."""

_PAUSE: Final = IO_ERROR_ACTIONS.index("pause")
_NO_MEANING: Final = Meaning()


def meaning_of(change: Transition) -> Meaning:
    """Return the meaning of a transition."""
    if change.event == "io_error" and change.detail_code == _PAUSE:
        return IO_ERROR_PAUSE
    meaning = MEANINGS.get((change.event, change.reason))
    return meaning or MEANINGS.get((change.event, ANY), _NO_MEANING)
