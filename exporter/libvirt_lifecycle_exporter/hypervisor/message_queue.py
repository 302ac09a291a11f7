"""Bounded queue between the libvirt connections and the worker.

Invariant: adding a message never blocks and never fails. An observation that exceeds the limit is dropped and
counted, and the caller requests a new listing. Other messages (listings, connection states, ...) are always
accepted: there are only a few of them at a time.
"""

import itertools
import queue
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from libvirt_lifecycle_exporter.model.messages import Message, Observation
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS

DROP_CAUSES: Final = ("queue_full", "callback_error", "worker_error", "shutdown")
"""Why an observation was dropped: the values of the metric's label ``cause``."""

_BATCH = 1000
_LONG = 100


def count_observations(messages: Iterable[Message]) -> int:
    """Count the observations among messages."""
    return sum(isinstance(message, Observation) for message in messages)


class MessageQueue:
    """Many threads add messages; one thread takes them."""

    def __init__(self, limit: int) -> None:
        """``limit``: number of queued messages from which on observations are dropped."""
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._limit = limit
        self.next_order: Callable[[], int] = itertools.count(1).__next__
        """Returns the next number in the order of arrival; atomic."""
        self.received: Counter[str] = Counter(dict.fromkeys(OBSERVED_KINDS, 0))
        """Observations that arrived, by kind; written by the event loop's thread only."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(DROP_CAUSES, 0))
        """Observations that were dropped, by cause."""
        self.lost: dict[str, int] = {}
        """By connection: the number in the order of arrival of the newest observation that was dropped."""

    def offer(self, observation: Observation) -> bool:
        """Add an observation; return False, and count it as dropped, if the queue is full."""
        self.received[observation.kind] += 1
        if self._queue.qsize() >= self._limit:
            self.record_loss(observation.connection, "queue_full")
            return False
        self._queue.put(observation)
        return True

    def record_loss(self, connection: str, cause: str) -> None:
        """Count an observation of a connection as dropped; ``cause``: one of ``DROP_CAUSES``."""
        self.dropped[cause] += 1
        self.lost[connection] = self.next_order()

    def put(self, message: Message) -> None:
        """Add a message, whatever the length of the queue."""
        self._queue.put(message)

    def take(self, limit: int, timeout: float) -> list[Message]:
        """Wait up to ``timeout`` seconds for a message; return at most ``limit`` messages."""
        try:
            batch = [self._queue.get(timeout=timeout)]
        except queue.Empty:
            return []
        # Only one thread takes messages, so at least qsize() messages are available.
        waiting = min(self._queue.qsize(), limit - 1)
        get = self._queue.get_nowait
        batch += [get() for _ in range(waiting)]
        return batch

    def discard(self) -> int:
        """Empty the queue at the end of the process; return the number of dropped observations."""
        discarded = 0
        while batch := self.take(_BATCH, 0):
            discarded += count_observations(batch)
        self.dropped["shutdown"] += discarded
        return discarded

    def is_long(self) -> bool:
        """Return whether so many messages wait that less urgent work should rest."""
        return self._queue.qsize() >= _LONG

    def depth(self) -> int:
        """Return the number of queued messages."""
        return self._queue.qsize()
