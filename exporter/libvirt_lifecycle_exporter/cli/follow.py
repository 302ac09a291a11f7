"""Reading a history from a place on: to its end, or for ever.

Law: each entry comes out once, in the order of the journal, whatever becomes of the file meanwhile.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from libvirt_lifecycle_exporter.journal.history import (
    PAGE,
    History,
    NewerError,
    Page,
    Place,
    Span,
    UnreadableError,
)
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.journal.rows import Entry
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

EVIDENCE_WAIT: Final = 1.0
"""Seconds that a failure without a message is held back: the evidence is written down after the fact."""
_RECENT = 10.0
"""Seconds after which no evidence comes any more."""


def finished(history: History, selection: Selection, span: Span) -> Iterator[list[Entry]]:
    """Give what fits in a span, in parts."""
    place = span.start
    while place.seq < span.last:
        page = history.page(selection, place, span.last)
        if page.seen.file != place.file:
            raise UnreadableError(f"the journal {history.path} was replaced while it was read; try again")
        yield page.entries
        place = page.seen


def endless(
    history: History,
    selection: Selection,
    place: Place,
    rest: Callable[[], None],
    complain: Callable[[str], None],
) -> Iterator[list[Entry]]:
    """Give what fits after a place, and whatever comes to it, in parts that may be empty.

    ``rest`` is called where there is nothing to do; what it raises ends it. ``complain`` hears, once for each
    cause, why the journal cannot be read now; it may come back. A newer release's does not: NewerError.
    """
    held = _Held()
    complaint = ""
    while True:
        try:
            page = held.cut(history.page(selection, place))
        except NewerError:
            raise
        except UnreadableError as error:
            if str(error) != complaint:
                complaint = str(error)
                complain(complaint)
            rest()
            continue
        complaint = ""
        place = page.seen
        yield page.entries
        if len(page.entries) < PAGE:
            rest()


class _Held:
    """Holds back a failure, and what follows it, while its evidence may still come."""

    def __init__(self) -> None:
        self._seen: tuple[Place, float] = Place("", 0), 0.0
        """The entry that is held back, and since when."""

    def cut(self, page: Page) -> Page:
        """Return the page up to the first entry that is to wait."""
        for number, entry in enumerate(page.entries):
            if self._waits(Place(page.seen.file, entry.seq), entry):
                return Page(page.entries[:number], Place(page.seen.file, entry.seq - 1))
        return page

    def _waits(self, place: Place, entry: Entry) -> bool:
        change = entry.transition
        if change.message or (change.event, change.reason) not in EXPLAINED:
            return False
        if abs(time.time() - change.at) > _RECENT:
            return False
        now = time.monotonic()
        if place != self._seen[0]:
            if place.file == self._seen[0].file and place.seq < self._seen[0].seq:
                return False
            self._seen = place, now
        return now - self._seen[1] < EVIDENCE_WAIT
