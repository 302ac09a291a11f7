"""The items that the senders read from the journal.

Invariant: an item contains everything that is encoded; encoding it twice gives the same bytes.
"""

from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.spans import Span, SpanRef
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

TRACES: Final = "traces"
LOGS: Final = "logs"
SIGNALS: Final = (TRACES, LOGS)

EVIDENCE_WAIT: Final = 3.0
"""Seconds that a transition waits for its message before it is sent without one."""


class UnavailableError(Exception):
    """The journal is unavailable at present; the text is the reason."""


class JournalReplacedError(UnavailableError):
    """The journal was replaced by another file, so that known positions are no longer valid."""


class Row(NamedTuple):
    """A transition, its journal number, and its span."""

    number: int
    change: Transition
    ref: SpanRef
    exported_without_message: bool
    """Whether it was or may have been sent before its message arrived. It is then always sent without one."""

    @property
    def message(self) -> str:
        """The message that is sent."""
        return "" if self.exported_without_message else self.change.message

    @property
    def may_get_message(self) -> bool:
        """Whether a message may still arrive."""
        pair = (self.change.event, self.change.reason)
        return not self.change.message and not self.exported_without_message and pair in EXPLAINED

    def is_waiting(self, now: float) -> bool:
        """Return whether the transition still waits for its message. ``now``: Unix time in seconds."""
        return self.may_get_message and 0 <= now - self.change.at < EVIDENCE_WAIT


class ExportItem(NamedTuple):
    """The unit of delivery: a log record, or a span with its events."""

    position: int
    """Position in the queue of its signal."""
    connection: str
    uuid: str
    span: Span | None
    """None for a log record."""
    rows: tuple[Row, ...]

    @property
    def at(self) -> float:
        """Time of the transition, or end of the span; Unix time in seconds."""
        return self.span.ended if self.span else self.rows[0].change.at

    @property
    def is_complete(self) -> bool:
        """Whether the history has all transitions: retention may have removed some of them."""
        return bool(self.rows) if self.span is None else len(self.rows) == len(self.span.rows)

    @property
    def size(self) -> int:
        """Approximate number of bytes in a request."""
        return 1000 + sum(1000 + 4 * len(row.message) for row in self.rows)
