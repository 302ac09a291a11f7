"""One signal's deliveries, on a thread of its own.

Law: it never holds up anybody: not the worker, not a scrape, not the other signal, not the end of the
process. What is in the journal's queue is sent until the receiver has it; what is given up is counted.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from libvirt_lifecycle_exporter.journal.export_items import (
    TRACES,
    ExportItem,
    ReplacedError,
    UnavailableError,
)
from libvirt_lifecycle_exporter.otel.batch_delivery import BatchDelivery
from libvirt_lifecycle_exporter.otel.batches import Batch, BatchSelector
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, Wire
from libvirt_lifecycle_exporter.otel.responses import Answer
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_GATHER: Final = 0.05
"""Seconds in which what belongs together comes together."""
_PAUSE: Final = 0.1
"""Seconds between two turns while something waits for its time."""
_EVERY: Final = 1.0
"""Seconds between two looks at what is due by the clock, and at the figures."""
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_LAST_WORDS: Final = 0.25
"""Of the seconds that it gets to end, the part after which a request under way is cut off."""

CAUSES: Final = ("too_old", "unencodable", "rejected", "too_large", "failed", "history_gone")
"""Why something is given up."""


class SignalSender:
    """Delivers one signal."""

    def __init__(
        self,
        signal: str,
        outbox: ExportQueue,
        wire: Wire,
        *,
        max_age: float,
        rate: float,
        clock: Callable[[], float] = time.time,
        removal_time: Callable[[], float] | None = None,
        threads: ThreadRegistry | None = None,
        longest_wait: float = _LONGEST_WAIT,
    ) -> None:
        """``max_age``: seconds after which something is given up, 0: never; ``rate``: see ``BatchSelector``.

        ``removal_time``: Unix time, seconds, by which something is too old; None: ``clock``.
        """
        self.signal = signal
        self.pending = 0
        self.oldest = 0.0
        """When the oldest of what is pending happened; Unix time, seconds; 0: nothing is."""
        self.failures = 0
        """Attempts that did not work."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(CAUSES, 0))
        self._outbox = outbox
        self._wire = wire
        self._max_age = max_age
        self._longest_wait = longest_wait
        self._clock = clock
        self._removal_time = removal_time or clock
        self._shipping = BatchDelivery(signal, outbox, wire, self._drop)
        self._waves = BatchSelector(signal, outbox, rate, time.monotonic)
        self._complaint = ""
        self._wait = 0.0
        """Seconds until the next attempt; 0: there is no trouble."""
        self._is_slow = False
        """Whether the last turn found only what has to wait."""
        self._new = threading.Event()
        self._stopping = threading.Event()
        self._threads = threads or ThreadRegistry()
        self._thread = SupervisedThread(
            self._threads, OTLP_SENDER, f"otlp-{signal}", self._run, self._stopping
        )

    @property
    def exported(self) -> int:
        """How much the receiver has taken."""
        return self._shipping.exported

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something is pending; from any thread."""
        self._new.set()

    def stop(self, timeout: float) -> None:
        """Send what can be sent at once, then end; what is under way for too long is cut off."""
        deadline = time.monotonic() + timeout
        self._stopping.set()
        self._new.set()
        self._thread.join(timeout * _LAST_WORDS)
        self._wire.abort()
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        self._deliver()
        self._wire.close()

    def _deliver(self) -> None:
        while not self._attempt(self._waves.late):
            # The journal may be another process's for a while.
            if self._stopping.wait(_EVERY):
                return
        due = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= due:
                self._attempt(self._look_around)
                due = time.monotonic() + _EVERY
            more = self._attempt(self._turn)
            if self._wait or not more:
                self._sleep(self._wait or _EVERY)
            elif self._is_slow:
                self._stopping.wait(_PAUSE)
        if not self._wait:
            self._attempt(lambda: self._turn(final=True))

    def _sleep(self, seconds: float) -> None:
        """Wait for something new; in trouble, for the time alone."""
        if self._wait:
            self._stopping.wait(seconds)
        elif self._new.wait(seconds):
            self._stopping.wait(_GATHER)
        self._new.clear()

    def _attempt(self, what: Callable[[], bool | None]) -> bool:
        """Do something that needs the journal; False where it cannot be had."""
        try:
            return what() is not False
        except ReplacedError:
            self._begin_anew()
            return False
        except UnavailableError as error:
            log.debug("the queue of %s cannot be had: %s", self.signal, error)
            return False
        except Exception as error:  # noqa: BLE001 - what is pending is still pending, and is tried again
            self._threads.report(OTLP_SENDER, error)
            self.failures += 1
            self._wait = self._longest_wait
            return False

    def _begin_anew(self) -> None:
        """Another journal took the place of the one before, and what was pending in that went with it."""
        if self.pending:
            self._drop("history_gone", self.pending)
        self.pending = 0
        self._shipping.forget()
        self._waves.forget()

    def _look_around(self) -> None:
        """Do what is due by the clock."""
        now = self._removal_time()
        if self.signal == TRACES:
            self._outbox.expire(now)
        self._shipping.mark()
        while self._max_age and not self._stopping.is_set():
            count = self._outbox.give_up(self.signal, now - self._max_age)
            if not count:
                break
            self._drop("too_old", count)
        self.pending, self.oldest = self._outbox.figures(self.signal)

    def _turn(self, *, final: bool = False) -> bool:
        """Send a batch or two; tell whether there may be more to do at once."""
        self._is_slow = True
        more = False
        leave = self._shipping.done | self._shipping.suspects.keys()
        for wave in self._waves.next(self._clock(), leave, final=final):
            self._bury(wave)
            more = more or wave.waits or self._waves.is_catching_up()
            if not wave.parcels:
                continue
            self._is_slow, more = False, True
            if not self._send(wave.parcels):
                return False
        return more

    def _send(self, parcels: list[ExportItem]) -> bool:
        """Send a batch; False if there is trouble."""
        bare = [row.number for parcel in parcels for row in parcel.rows if row.is_bare]
        if bare:
            # What is sent without a message stays without one: it may have to be sent again.
            self._outbox.seal(self.signal, bare)
        trouble = self._shipping.ship(parcels).trouble or self._try_suspects()
        self._note(trouble)
        return trouble is None

    def _try_suspects(self) -> Answer | None:
        for place in list(self._shipping.suspects):
            found = self._outbox.take(self.signal, place - 1, 1)
            if not found or found[0].place != place:
                del self._shipping.suspects[place]
                continue
            trouble = self._shipping.retry(found[0])
            if trouble is not None:
                return trouble
        return None

    def _bury(self, wave: Batch) -> None:
        if wave.lost:
            self._outbox.done(self.signal, wave.lost)
            self._drop("history_gone", len(wave.lost))

    def _note(self, trouble: Answer | None) -> None:
        if trouble is None:
            if self._complaint:
                log.info("the receiver of %s takes them again", self.signal)
                self._attempt(self._waves.late)
            self._complaint, self._wait = "", 0.0
            return
        self.failures += 1
        longer = min(self._longest_wait, max(_FIRST_WAIT, 2 * self._wait))
        # Not all exporters of a site at once.
        self._wait = max(trouble.wait, longer * random.uniform(0.8, 1.0))  # noqa: S311 - no secret
        if trouble.words != self._complaint:
            self._complaint = trouble.words
            log.warning(
                "%s cannot be delivered: %s; they are kept and tried again", self.signal, trouble.words
            )

    def _drop(self, cause: str, count: int) -> None:
        self.dropped[cause] += count
        if cause == "too_old":
            log.warning("gave up %d %s: older than --otel.max-age", count, self.signal)
