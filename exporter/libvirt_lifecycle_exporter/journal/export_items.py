"""The values that a sender takes from the journal.

Law: a parcel says all there is to say: rendering it twice gives the same bytes.
"""

from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.spans import Ref, Span
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

TRACES: Final = "traces"
LOGS: Final = "logs"
SIGNALS: Final = (TRACES, LOGS)

EVIDENCE_WAIT: Final = 3.0
"""Seconds that a transition waits for its message before it is sent without."""


class UnavailableError(Exception):
    """The journal cannot be had now; the text says why."""


class ReplacedError(UnavailableError):
    """It is another one than before: what was known of places in its queue means nothing any more."""


class Row(NamedTuple):
    """A transition, its number, and the span that it is on."""

    number: int
    change: Transition
    ref: Ref
    unexplained: bool
    """It was sent, or may have been, before it had a message: so it has none."""

    @property
    def message(self) -> str:
        """Why, in words, as it is told for good."""
        return "" if self.unexplained else self.change.message

    @property
    def is_bare(self) -> bool:
        """Tell whether a message may still come."""
        pair = (self.change.event, self.change.reason)
        return not self.change.message and not self.unexplained and pair in EXPLAINED

    def waits(self, now: float) -> bool:
        """Tell whether its message is still worth waiting for."""
        return self.is_bare and 0 <= now - self.change.at < EVIDENCE_WAIT


class ExportItem(NamedTuple):
    """What is delivered as one: a log record, or a span with its events."""

    place: int
    """In the queue of its signal."""
    connection: str
    uuid: str
    span: Span | None
    """None: it is a log record."""
    rows: tuple[Row, ...]

    @property
    def at(self) -> float:
        """When it happened; Unix time, seconds."""
        return self.span.ended if self.span else self.rows[0].change.at

    @property
    def is_whole(self) -> bool:
        """Tell whether the history still has it: retention may have cut it while nothing was sent."""
        return bool(self.rows) if self.span is None else len(self.rows) == len(self.span.rows)

    @property
    def size(self) -> int:
        """Bytes that it will need, roughly."""
        return 1000 + sum(1000 + 4 * len(row.message) for row in self.rows)
