"""One batch: sent, split where it is not taken as a whole, set aside what will never be taken.

Law: a row is set aside only if it alone is to blame. It cannot be encoded; or it is alone in its request
and the receiver has nothing against others (it took some, or answers an empty request well). Everything
else waits: a wrong token, a wrong path or a receiver in trouble costs no row.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, Wire
from libvirt_lifecycle_exporter.otel.responses import Answer, Verdict

log = logging.getLogger(__name__)

PATIENCE: Final = 8
"""Times that a receiver may fail over one row, while it takes others, before the row is set aside."""

_MOST_FAILURES: Final = 32
"""Requests that a receiver may fail over, and take none, before it is the receiver that is in trouble."""

_ALONE: Final = frozenset({Verdict.UNENCODABLE, Verdict.TOO_LARGE})
"""Verdicts that blame the row whatever happens to others."""


class Result(NamedTuple):
    """What became of a batch."""

    delivered: int
    trouble: Answer | None
    """Why not all of it is through; None: it is."""


class BatchDelivery:
    """Ships the batches of one signal."""

    def __init__(
        self, signal: str, outbox: ExportQueue, wire: Wire, drop: Callable[[str, int], None]
    ) -> None:
        """``drop``: counts what is given up, by cause."""
        self._signal = signal
        self._outbox = outbox
        self._wire = wire
        self._drop = drop
        self.exported = 0
        """Parcels that the receiver has taken."""
        self.done: set[int] = set()
        """Places that were delivered and could not yet be marked so."""
        self.suspects: dict[int, int] = {}
        """Place -> how often the receiver failed over it alone. They are left out of batches."""

    def ship(self, parcels: Sequence[ExportItem]) -> Result:
        """Deliver a batch, as far as it goes. Raises UnavailableError where the journal cannot be had."""
        delivered = failures = 0
        is_there = False
        blamed: list[tuple[ExportItem, Answer]] = []
        parts = [list(parcels)]
        while parts:
            part = parts.pop()
            answer = self._wire.send(part)
            if answer.verdict is Verdict.DELIVERED:
                delivered += self._note(part, answer)
                continue
            failures += 1
            in_trouble = answer.verdict is Verdict.DOUBTFUL and not delivered and failures > _MOST_FAILURES
            if answer.verdict is Verdict.LATER or in_trouble:
                return Result(delivered, answer)
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif answer.verdict in _ALONE:
                self._set_aside(part, answer)
            elif answer.verdict is Verdict.DOUBTFUL:
                blamed.append((part[0], answer))
            else:
                is_there = is_there or bool(delivered) or self._wire.send(()).verdict is Verdict.DELIVERED
                if not is_there:
                    return Result(delivered, answer)
                self._set_aside(part, answer)
        if blamed and not delivered:
            return Result(delivered, blamed[0][1])
        self.suspects.update((parcel.place, 1) for parcel, _ in blamed)
        return Result(delivered, None)

    def retry(self, parcel: ExportItem) -> Answer | None:
        """Try a suspect again, alone, now that the receiver takes others; return what the trouble is."""
        answer = self._wire.send([parcel])
        if answer.verdict is Verdict.LATER:
            return answer
        if answer.verdict is Verdict.DELIVERED:
            self._note([parcel], answer)
        elif self.suspects[parcel.place] >= PATIENCE or answer.verdict is not Verdict.DOUBTFUL:
            self._set_aside([parcel], answer)
        else:
            self.suspects[parcel.place] += 1
            return None
        del self.suspects[parcel.place]
        return None

    def forget(self) -> None:
        """Forget all places: they were another journal's."""
        self.done.clear()
        self.suspects.clear()

    def mark(self) -> None:
        """Take what was delivered out of the queue. Raises UnavailableError."""
        if self.done:
            self._outbox.done(self._signal, sorted(self.done))
            self.done.clear()

    def _note(self, part: Sequence[ExportItem], answer: Answer) -> int:
        if answer.words:
            log.warning("the receiver of %s says: %s", self._signal, answer.words)
        rejected = min(answer.rejected, len(part))
        if rejected and rejected == len(part):
            self._set_aside(part, answer._replace(verdict=Verdict.REJECTED))
            return 0
        if rejected:
            # Which ones it does not say, and they are not to be sent again.
            self._drop(Verdict.REJECTED.value, rejected)
        self.exported += len(part) - rejected
        self.done.update(parcel.place for parcel in part)
        self.mark()
        return len(part) - rejected

    def _set_aside(self, parcels: Sequence[ExportItem], answer: Answer) -> None:
        cause = answer.verdict.value
        self._outbox.set_aside(self._signal, parcels, cause, answer.words)
        self._drop(cause, len(parcels))
        numbers = ", ".join(str(row.number) for parcel in parcels[:10] for row in parcel.rows[:3])
        log.warning(
            "set aside, since it is never taken as %s (%s, %s): number %s",
            self._signal,
            cause,
            answer.words,
            numbers,
        )
