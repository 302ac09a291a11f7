"""Buffer for history while the journal is unavailable, bounded by bytes.

The buffer holds transitions, incidents and messages only. Counters and states are not buffered: the engine
has their current values, and the journal writes those when it recovers.
"""

import sys
from collections import deque
from typing import Final

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HistoryBatch
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

MAX_BYTES: Final = 16 * 1024 * 1024

_BATCH_BYTES: Final = 500
"""Size of an empty batch: the tuple, three containers and the entry of the queue."""
_SHARED: Final = frozenset({"connection", "event", "reason", "detail", "source"})
"""Fields whose values are shared objects, which take no memory per transition."""
_OWN_FIELDS: Final = tuple(number for number, name in enumerate(Transition._fields) if name not in _SHARED)


class HistoryBuffer:
    """Batches of history, oldest first. If they exceed `max_bytes`, the oldest are dropped."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._batches: deque[tuple[HistoryBatch, int]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def batches(self) -> list[HistoryBatch]:
        """Return the batches, oldest first."""
        return [batch for batch, _ in self._batches]

    def add(self, effects: ChangeBatch) -> int:
        """Add the history of a batch; return how many transitions and incidents were dropped for it."""
        if not (effects.transitions or effects.incidents or effects.messages or effects.clock_jump):
            return 0
        batch = HistoryBatch(
            tuple(effects.transitions),
            dict(effects.incidents),
            tuple(effects.messages),
            forgotten=(),
            clock_jump=effects.clock_jump,
        )
        size = _size(batch)
        self._batches.append((batch, size))
        self._bytes += size
        dropped = 0
        while self._bytes > self._max_bytes:
            oldest, size = self._batches.popleft()
            self._bytes -= size
            dropped += len(oldest.transitions) + len(oldest.incidents)
        return dropped

    def clear(self) -> None:
        """Remove all batches."""
        self._batches.clear()
        self._bytes = 0


def _size(batch: HistoryBatch) -> int:
    """Return the approximate size of a batch in memory, in bytes."""
    return (
        _BATCH_BYTES
        + sum(_transition_size(change) for change in batch.transitions)
        + sum(_values_size(incident) for incident in batch.incidents.values())
        + sum(_values_size(message) for message in batch.messages)
    )


def _transition_size(change: Transition) -> int:
    return sys.getsizeof(change) + sum(sys.getsizeof(change[number]) for number in _OWN_FIELDS)


def _values_size(values: Incident | tuple[object, ...]) -> int:
    return sys.getsizeof(values) + sum(sys.getsizeof(value) for value in values)
