"""The bounded queue between the sources and the worker.

Law: putting never blocks and never fails. What does not fit is refused and counted, and the caller
asks for a new snapshot; messages that carry a whole picture (snapshots, connection state) always fit,
since there are only a few of them at a time.
"""

import itertools
import queue
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from libvirt_lifecycle_exporter.model.messages import Message, Observation
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS

DROP_CAUSES: Final = ("queue_full", "callback_error", "worker_error", "shutdown")
"""Why an observation is lost: the values of the metric's label ``cause``."""

_BATCH = 1000


def observations(messages: Iterable[Message]) -> int:
    """Count the observations among messages."""
    return sum(isinstance(message, Observation) for message in messages)


class MessageQueue:
    """Many threads put; one takes."""

    def __init__(self, limit: int) -> None:
        """``limit``: the most messages that may wait."""
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._limit = limit
        self.next_order: Callable[[], int] = itertools.count(1).__next__
        """Returns the next place in the order of arrival; atomic."""
        self.received: Counter[str] = Counter(dict.fromkeys(OBSERVED_KINDS, 0))
        """Observations that arrived, by kind; only the event loop's thread writes it."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(DROP_CAUSES, 0))
        """Observations lost, by cause."""
        self.lost: dict[str, int] = {}
        """By connection: the place in the order of arrival of the newest observation that was lost."""

    def offer(self, observation: Observation) -> bool:
        """Take an observation if there is room; False (and counted) if there is none."""
        self.received[observation.kind] += 1
        if self._queue.qsize() >= self._limit:
            self.lose(observation.connection, "queue_full")
            return False
        self._queue.put(observation)
        return True

    def lose(self, connection: str, cause: str) -> None:
        """Note that an observation of the connection is lost."""
        self.dropped[cause] += 1
        self.lost[connection] = self.next_order()

    def put(self, message: Message) -> None:
        """Take a message in any case."""
        self._queue.put(message)

    def take(self, most: int, timeout: float) -> list[Message]:
        """Wait up to ``timeout`` seconds; return what waits, at most ``most`` messages."""
        try:
            batch = [self._queue.get(timeout=timeout)]
        except queue.Empty:
            return []
        # One thread takes, so what qsize() reports is there to be had.
        waiting = min(self._queue.qsize(), most - 1)
        batch.extend(self._queue.get_nowait() for _ in range(waiting))
        return batch

    def discard(self) -> int:
        """Empty the queue at the end of the process; return the number of observations that are lost."""
        discarded = 0
        while batch := self.take(_BATCH, 0):
            discarded += observations(batch)
        self.dropped["shutdown"] += discarded
        return discarded

    def depth(self) -> int:
        """Count the messages that wait."""
        return self._queue.qsize()
