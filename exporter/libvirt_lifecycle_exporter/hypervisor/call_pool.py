"""Threads that put questions to libvirt on connections of their own; who does not come back is left behind.

Law: whoever asks waits no longer than the patience for each question. A libvirt call cannot be cancelled, so
the thread of one that hangs is left with it, and ends when it returns. ``connections`` is the most of both
that there ever is: beyond that nothing is asked. Each call that hangs also holds one of the daemon's 20
ordinary workers (libvirtd.conf, max_workers), so the limit is the daemon's protection as much as ours.

One call at a time on each connection. More would be allowed, but libvirt's client (9.0) at times leaves a
call unsent while others hang on the same connection, until something arrives there: for seconds, in 3 of 40
trials of three calls at once. A connection costs less than that.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import libvirt

from libvirt_lifecycle_exporter.runtime.threads import PROBE, ThreadRegistry

log = logging.getLogger(__name__)

KEEPALIVE = (5, 3)
"""Interval in seconds and count: a daemon that is frozen gives its callers back after a while."""

_T = TypeVar("_T")
Question = Callable[[Any], _T]
"""Gets an open connection; keeps no virDomain beyond its return."""


class _Lane:
    """One connection, and one thread that uses it; opened by the first one."""

    def __init__(self, opener: Callable[[], Any], threads: ThreadRegistry) -> None:
        self._opener = opener
        self._threads = threads
        self._connection: Any = None
        self.used = False
        self.lost = False

    def connection(self) -> Any:
        if self._connection is None:
            opened = self._opener()
            try:
                opened.setKeepAlive(*KEEPALIVE)
            except libvirt.libvirtError as error:
                log.debug("a probe's connection has no keepalive: %s", error)
            self._connection = opened
        return self._connection

    def is_open(self) -> bool:
        """Tell whether calls may be put on it without waiting for it to be opened."""
        return self._connection is not None

    def check(self) -> None:
        """Note if it is lost; after an error."""
        try:
            self.lost = self._connection is None or not self._connection.isAlive()
        except Exception as error:
            self.lost = True
            if not isinstance(error, libvirt.libvirtError):
                raise

    def close(self) -> None:
        """Close it on a thread of its own: even that asks the daemon."""
        connection, self._connection = self._connection, None
        if connection is not None:
            arguments = (connection, self._threads)
            threading.Thread(target=_close, args=arguments, name="probe-close", daemon=True).start()


def _close(connection: Any, threads: ThreadRegistry) -> None:
    with threads.guard(PROBE):
        try:
            connection.close()
        except libvirt.libvirtError as error:
            log.debug("a probe's connection: close: %s", error)


@dataclass(eq=False)
class _Hand:
    """One thread of a round."""

    lane: _Lane
    key: str = ""
    """What it is asking about now."""
    since: float = 0.0
    left: bool = False
    """It was waited for too long, and is to end when it comes back."""


@dataclass(eq=False)
class _Round(Generic[_T]):
    """Questions that are put together."""

    queue: deque[tuple[str, Question[_T]]]
    hands: set[_Hand] = field(default_factory=set)
    """Those that work on it and have not been left behind."""
    answers: dict[str, _T | libvirt.libvirtError] = field(default_factory=dict)


class CallPool:
    """Asks many questions at a time, each about one subject; the crew of one connection."""

    def __init__(
        self,
        name: str,
        opener: Callable[[], Any],
        *,
        connections: int,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``name``: of its threads. ``opener``: opens a connection; runs on a thread of the crew's."""
        self._threads = threads or ThreadRegistry()
        self._name = name
        self._opener = opener
        self._most = connections
        self._changed = threading.Condition()
        self._lanes: list[_Lane] = []
        self._stuck: dict[str, _Hand] = {}
        self._stopping = False

    def ask(
        self,
        questions: Mapping[str, Question[_T]],
        *,
        wide: int,
        patience: float,
        go_on: Callable[[], bool] = lambda: True,
    ) -> dict[str, _T | libvirt.libvirtError]:
        """Return the answers (or errors) that came in time, by subject.

        A subject of which an earlier question still hangs is not asked about. ``wide``: how many at a time;
        ``patience``: seconds for each; ``go_on``: asked before somebody takes the place of one left behind.
        """
        self._drop_lost()
        with self._changed:
            free = [(key, ask) for key, ask in questions.items() if key not in self._stuck]
        work: _Round[_T] = _Round(deque(free))
        left = 0
        while True:
            with self._changed:
                lost = self._leave_behind(work, patience)
                left += lost
                if self._stopping or not (work.queue or work.hands):
                    break
            if lost and not go_on():
                work.queue.clear()
            with self._changed:
                while len(work.hands) < wide and work.queue and self._hire(work):
                    pass
                if not work.hands:
                    break
                self._changed.wait(self._until_next(work, patience))
        with self._changed:
            if work.queue:
                log.debug("%s: %d subjects were not asked about this time", self._name, len(work.queue))
            work.queue.clear()
            self._trim(wide)
            return dict(work.answers)

    def stuck(self) -> frozenset[str]:
        """Name the subjects of which a question still hangs."""
        with self._changed:
            return frozenset(self._stuck)

    def stop(self) -> None:
        """Let go; what hangs is left behind."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._trim(0)

    def _drop_lost(self) -> None:
        """Let go of connections that were lost while nobody used them: no question is lost on them."""
        with self._changed:
            idle = [lane for lane in self._lanes if not lane.used and lane.is_open()]
        for lane in idle:
            lane.check()
        with self._changed:
            for lane in idle:
                if lane.lost and not lane.used:
                    self._drop(lane)

    def _leave_behind(self, work: _Round[_T], patience: float) -> int:
        now = time.monotonic()
        over = [hand for hand in work.hands if hand.key and now - hand.since >= patience]
        for hand in over:
            hand.left = True
            work.hands.discard(hand)
            self._stuck[hand.key] = hand
        return len(over)

    @staticmethod
    def _until_next(work: _Round[_T], patience: float) -> float:
        now = time.monotonic()
        return max(0.001, min(patience - (now - hand.since) if hand.key else patience for hand in work.hands))

    def _hire(self, work: _Round[_T]) -> bool:
        """Put one more thread to work; False where the limits forbid it."""
        lane = next((lane for lane in self._lanes if not (lane.lost or lane.used)), None)
        if lane is None:
            # One opening at a time: where the daemon hangs, each would hang.
            if len(self._lanes) >= self._most or not all(lane.is_open() for lane in self._lanes):
                return False
            lane = _Lane(self._opener, self._threads)
            self._lanes.append(lane)
        hand = _Hand(lane)
        thread = threading.Thread(target=self._run, args=(work, hand), name=self._name, daemon=True)
        # Raises RuntimeError where the system has no more threads; then nothing has changed.
        thread.start()
        lane.used = True
        work.hands.add(hand)
        return True

    def _run(self, work: _Round[_T], hand: _Hand) -> None:
        try:
            with self._threads.guard(PROBE):
                while (item := self._next(work, hand)) is not None:
                    self._put(work, hand, *item)
        finally:
            with self._changed, self._threads.guard(PROBE):
                work.hands.discard(hand)
                self._stuck = {key: one for key, one in self._stuck.items() if one is not hand}
                hand.lane.used = False
                self._changed.notify_all()
                if hand.lane.lost or self._stopping:
                    self._drop(hand.lane)

    def _next(self, work: _Round[_T], hand: _Hand) -> tuple[str, Question[_T]] | None:
        with self._changed:
            if hand.left or hand.lane.lost or self._stopping or not work.queue:
                return None
            item = work.queue.popleft()
            hand.key, hand.since = item[0], time.monotonic()
            return item

    def _put(self, work: _Round[_T], hand: _Hand, key: str, question: Question[_T]) -> None:
        answer: _T | libvirt.libvirtError | None = None
        try:
            answer = question(hand.lane.connection())
        except libvirt.libvirtError as error:
            hand.lane.check()
            answer = error
        except (TimeoutError, ConnectionError) as error:
            hand.lane.check()
            log.debug("%s: no connection: %s", self._name, error)
        except Exception as error:  # noqa: BLE001 - one odd answer must not cost the others theirs
            self._threads.report(PROBE, error)
            hand.lane.check()
        with self._changed:
            hand.key = ""
            if self._stuck.get(key) is hand:
                del self._stuck[key]
            if hand.lane.lost:
                work.queue.clear()
            if answer is not None and not hand.left:
                work.answers[key] = answer
            self._changed.notify_all()

    def _trim(self, keep: int) -> None:
        """Close the connections that are needed no longer."""
        for lane in [lane for lane in self._lanes if not lane.used][keep:]:
            self._drop(lane)

    def _drop(self, lane: _Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)
        lane.close()
