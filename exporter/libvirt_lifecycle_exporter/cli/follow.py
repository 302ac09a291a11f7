"""Reading the history page by page: once (``read_range``) or continuously (``follow``).

Invariant: each entry is returned once, in the order of the journal, also if the file is replaced meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from libvirt_lifecycle_exporter.journal.history import (
    PAGE_SIZE,
    EntryRange,
    History,
    NewerError,
    Page,
    Position,
    UnreadableError,
)
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.journal.rows import Entry
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

EVIDENCE_WAIT: Final = 1.0
"""Seconds that a failure without a message is held back: its message is written after the event."""
_RECENT = 10.0
"""Age in seconds from which on no message is expected any more."""


def read_range(history: History, selection: Selection, entry_range: EntryRange) -> Iterator[list[Entry]]:
    """Return the selected entries of a range, page by page. Raises UnreadableError."""
    position = entry_range.start
    while position.seq < entry_range.last:
        page = history.page(selection, position, entry_range.last)
        if page.end.journal_id != position.journal_id:
            raise UnreadableError(f"the journal {history.path} was replaced while it was read; try again")
        yield page.entries
        position = page.end


def follow(
    history: History,
    selection: Selection,
    position: Position,
    wait: Callable[[], None],
    report: Callable[[str], None],
) -> Iterator[list[Entry]]:
    """Return the selected entries after a position, and new ones as they are written; pages may be empty.

    ``wait`` is called between two queries; an exception that it raises ends the iteration. ``report`` is
    called once for each cause why the journal cannot be read; reading is retried. NewerError is raised.
    """
    hold = _EvidenceHold()
    reported = ""
    while True:
        try:
            page = hold.cut(history.page(selection, position))
        except NewerError:
            raise
        except UnreadableError as error:
            if str(error) != reported:
                reported = str(error)
                report(reported)
            wait()
            continue
        reported = ""
        position = page.end
        yield page.entries
        if len(page.entries) < PAGE_SIZE:
            wait()


class _EvidenceHold:
    """Holds back a failure, and the entries after it, while its message may still be written."""

    def __init__(self) -> None:
        self._held: tuple[Position, float] = Position("", 0), 0.0
        """The entry that is held back, and since when (monotonic, seconds)."""

    def cut(self, page: Page) -> Page:
        """Return the page up to the first entry that is held back."""
        for number, entry in enumerate(page.entries):
            if self._holds(Position(page.end.journal_id, entry.seq), entry):
                return Page(page.entries[:number], Position(page.end.journal_id, entry.seq - 1))
        return page

    def _holds(self, position: Position, entry: Entry) -> bool:
        change = entry.transition
        if change.message or (change.event, change.reason) not in EXPLAINED:
            return False
        if abs(time.time() - change.at) > _RECENT:
            return False
        now = time.monotonic()
        held = self._held[0]
        if position != held:
            if position.journal_id == held.journal_id and position.seq < held.seq:
                return False
            self._held = position, now
        return now - self._held[1] < EVIDENCE_WAIT
