"""Selection of the next batch: new items first come first served; an outage's backlog at a bounded rate.

Invariant: the items of a domain are sent in order. After an outage, new items do not wait for the backlog,
except new items of a domain that still has items in the backlog.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue

BATCH_SIZE: Final = 512
BATCH_BYTES: Final = 2 << 20
"""Approximate limit of one request before compression. gRPC servers accept 4 MiB by default."""
_WINDOW: Final = 4 * BATCH_SIZE
"""Number of pending items that are searched for items that may be sent."""

DomainKey = tuple[str, str]
"""connection, uuid"""


class Batch(NamedTuple):
    """Items that may be sent now."""

    items: list[ExportItem]
    missing: list[int]
    """Positions of items whose transitions are no longer in the history."""
    has_waiting: bool
    """Whether an item still waits for its message."""


class BatchSelector:
    """Selects the batches of one signal's queue."""

    def __init__(self, signal: str, queue: ExportQueue, rate: float, clock: Callable[[], float]) -> None:
        """``rate``: items of the backlog per second, 0: unlimited; ``clock``: monotonic, seconds."""
        self._signal = signal
        self._queue = queue
        self._rate = rate
        self._clock = clock
        self._backlog: dict[DomainKey, int] = {}
        """Domain -> its last position in the backlog."""
        self._backlog_end = 0
        """The last position of the backlog; 0: there is none."""
        self._tokens = 0.0
        """Items of the backlog that may be sent now (token bucket)."""
        self._refilled_at = clock()

    def begin_catch_up(self) -> None:
        """Treat all items that are pending now as the backlog of an outage."""
        if self._rate:
            self._backlog = self._queue.last_positions(self._signal)
            self._backlog_end = max(self._backlog.values(), default=0)
            self._tokens, self._refilled_at = float(BATCH_SIZE), self._clock()

    def reset(self) -> None:
        """Discard all positions: the journal was replaced by another one."""
        self._backlog, self._backlog_end = {}, 0

    def is_catching_up(self) -> bool:
        """Return whether the backlog of an outage is not yet delivered."""
        return bool(self._backlog_end)

    def select(self, now: float, exclude: Collection[int], *, final: bool = False) -> Iterator[Batch]:
        """Yield the batches that may be sent now: of the backlog, then of new items.

        ``now``: Unix time in seconds; ``exclude``: positions to leave out; ``final``: whether messages are
        not waited for.
        """
        if not self._backlog_end:
            yield self._search(0, lambda window: _select(window, now, exclude, BATCH_SIZE, final=final))
            return
        self._refill_tokens()
        head = self._queue.read(self._signal, 0, 1)
        first = head[0].position if head and head[0].position <= self._backlog_end else 0
        if not first:
            self.reset()
        elif self._tokens >= 1:
            limit = min(BATCH_SIZE, int(self._tokens))
            batch = self._search(
                0, lambda window: _select(self._in_backlog(window), now, exclude, limit, final=final)
            )
            self._tokens -= len(batch.items)
            yield batch
        yield self._search(
            self._backlog_end,
            lambda window: _select(self._unblocked(window, first), now, exclude, BATCH_SIZE, final=final),
        )

    def _search(self, after: int, select: Callable[[Sequence[ExportItem]], Batch]) -> Batch:
        """Select items after a position; search the larger window only if the first one has none."""
        for limit in (BATCH_SIZE, _WINDOW):
            window = self._queue.read(self._signal, after, limit)
            batch = select(window)
            if batch.items or len(window) < limit:
                break
        return batch

    def _in_backlog(self, window: Sequence[ExportItem]) -> list[ExportItem]:
        return [item for item in window if item.position <= self._backlog_end]

    def _unblocked(self, window: Sequence[ExportItem], first: int) -> list[ExportItem]:
        """Return items whose domain has nothing left in the backlog, which begins at ``first`` (0: empty)."""
        return [
            item for item in window if not first or self._backlog.get((item.connection, item.uuid), 0) < first
        ]

    def _refill_tokens(self) -> None:
        now = self._clock()
        elapsed = max(0.0, now - self._refilled_at)
        self._tokens = min(float(BATCH_SIZE), self._tokens + self._rate * elapsed)
        self._refilled_at = now


def _select(
    window: Sequence[ExportItem], now: float, exclude: Collection[int], limit: int, *, final: bool
) -> Batch:
    """Select items that may be sent. An item that waits blocks the later items of its domain."""
    selected: list[ExportItem] = []
    missing: list[int] = []
    blocked: set[DomainKey] = set()
    size = 0
    for item in window:
        key = (item.connection, item.uuid)
        if item.position in exclude:
            continue
        if not item.is_complete:
            missing.append(item.position)
        elif key not in blocked:
            if not final and any(row.is_waiting(now) for row in item.rows):
                blocked.add(key)
                continue
            size += item.size
            if len(selected) == limit or (selected and size > BATCH_BYTES):
                break
            selected.append(item)
    return Batch(selected, missing, bool(blocked))
