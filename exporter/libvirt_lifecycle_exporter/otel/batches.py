"""Which batch is next: what is left from an outage, at a bounded rate, and beside it what is new.

Law: in the order of each domain. After an outage what is new does not wait behind what is old, but for what
is new of a domain of which something old is still to be sent.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue

BATCH: Final = 512
BATCH_BYTES: Final = 2 << 20
"""Of one request, roughly, before compression: gRPC servers take 4 MB unless told otherwise."""
_WINDOW: Final = 4 * BATCH
"""Rows that are looked through for those that may go."""

Key = tuple[str, str]


class Batch(NamedTuple):
    """What may be sent now."""

    parcels: list[ExportItem]
    lost: list[int]
    """Places of what the history no longer has."""
    waits: bool
    """Whether there is something that only waits for its message."""


class BatchSelector:
    """The order in which one signal's queue is emptied."""

    def __init__(self, signal: str, outbox: ExportQueue, rate: float, clock: Callable[[], float]) -> None:
        """``rate``: parcels of an outage that are sent in a second; 0: as fast as it goes. ``clock``:
        steady.
        """
        self._signal = signal
        self._outbox = outbox
        self._rate = rate
        self._clock = clock
        self._behind: dict[Key, int] = {}
        """Domain -> the last place of it that is left from an outage."""
        self._border = 0
        """The last place that is left from an outage."""
        self._allowance = 0.0
        self._seen = clock()

    def late(self) -> None:
        """Note that all that is pending now is late: there was an outage."""
        if self._rate:
            self._behind = self._outbox.newest(self._signal)
            self._border = max(self._behind.values(), default=0)
            self._allowance, self._seen = float(BATCH), self._clock()

    def forget(self) -> None:
        """Forget all places: they were another journal's."""
        self._behind, self._border = {}, 0

    def is_catching_up(self) -> bool:
        """Tell whether something is left from an outage."""
        return bool(self._border)

    def next(self, now: float, leave: Collection[int], *, final: bool = False) -> Iterator[Batch]:
        """Return what may be sent, a batch at a time: of the old, then of the new.

        ``now``: Unix time; ``leave``: places to leave out; ``final``: wait for no message.
        """
        if not self._border:
            yield self._find(0, lambda window: _pick(window, now, leave, BATCH, final=final))
            return
        self._refill()
        head = self._outbox.take(self._signal, 0, 1)
        first = head[0].place if head and head[0].place <= self._border else 0
        if not first:
            self._behind, self._border = {}, 0
        elif self._allowance >= 1:
            most = min(BATCH, int(self._allowance))
            wave = self._find(0, lambda window: _pick(self._old(window), now, leave, most, final=final))
            self._allowance -= len(wave.parcels)
            yield wave
        yield self._find(
            self._border, lambda window: _pick(self._new(window, first), now, leave, BATCH, final=final)
        )

    def _find(self, after: int, pick: Callable[[Sequence[ExportItem]], Batch]) -> Batch:
        """Pick of what is behind a place; further back only if nothing of the first may go."""
        for most in (BATCH, _WINDOW):
            window = self._outbox.take(self._signal, after, most)
            wave = pick(window)
            if wave.parcels or len(window) < most:
                break
        return wave

    def _old(self, window: Sequence[ExportItem]) -> list[ExportItem]:
        return [parcel for parcel in window if parcel.place <= self._border]

    def _new(self, window: Sequence[ExportItem], first: int) -> list[ExportItem]:
        """Return what does not overtake what is old of its domain; ``first``: the oldest place, 0: none."""
        return [
            parcel
            for parcel in window
            if not first or self._behind.get((parcel.connection, parcel.uuid), 0) < first
        ]

    def _refill(self) -> None:
        now = self._clock()
        self._allowance = min(float(BATCH), self._allowance + self._rate * max(0.0, now - self._seen))
        self._seen = now


def _pick(
    parcels: Sequence[ExportItem], now: float, leave: Collection[int], most: int, *, final: bool
) -> Batch:
    """Pick what may go; a domain of which something waits is not overtaken by itself."""
    picked: list[ExportItem] = []
    lost: list[int] = []
    held: set[Key] = set()
    size = 0
    for parcel in parcels:
        key = (parcel.connection, parcel.uuid)
        if parcel.place in leave:
            continue
        if not parcel.is_whole:
            lost.append(parcel.place)
        elif key not in held:
            if not final and any(row.waits(now) for row in parcel.rows):
                held.add(key)
                continue
            size += parcel.size
            if len(picked) == most or (picked and size > BATCH_BYTES):
                break
            picked.append(parcel)
    return Batch(picked, lost, bool(held))
