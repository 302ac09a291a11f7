"""Delivery of one signal on its own thread.

Invariant: the sender blocks nothing else: not the worker, not a scrape, not the other signal, not the exit
of the process. Items stay in the journal's queue until the receiver accepts them; dropped items are counted.
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
    JournalReplacedError,
    UnavailableError,
)
from libvirt_lifecycle_exporter.otel.batch_delivery import BatchDelivery
from libvirt_lifecycle_exporter.otel.batches import Batch, BatchSelector
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, ItemExporter
from libvirt_lifecycle_exporter.otel.responses import ExportResult
from libvirt_lifecycle_exporter.runtime.threads import OTLP_SENDER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_BATCH_DELAY: Final = 0.05
"""Seconds between a notification and the next batch, so that items that belong together share a request."""
_WAITING_DELAY: Final = 0.1
"""Seconds between two batches while all pending items wait for their messages."""
_HOUSEKEEPING_INTERVAL: Final = 1.0
"""Seconds between two updates of the statistics, which also remove what is too old."""
_MIN_BACKOFF: Final = 0.5
_MAX_BACKOFF: Final = 30.0
"""Seconds between two attempts while the receiver fails."""
_YIELD_INTERVAL: Final = 0.02
"""Seconds between two looks at whether the worker has caught up."""
_YIELD_FACTOR: Final = 4
"""While the worker is busy, a sender rests this many times as long as its last turn took."""
_STOP_FRACTION: Final = 0.25
"""Part of the stop timeout after which a request in progress is aborted."""

DROP_CAUSES: Final = ("too_old", "unencodable", "rejected", "too_large", "failed", "history_gone")
"""Causes of dropped items (label ``cause``)."""


class SignalSender:
    """Delivers the items of one signal."""

    def __init__(
        self,
        signal: str,
        queue: ExportQueue,
        exporter: ItemExporter,
        *,
        max_age: float,
        rate: float,
        clock: Callable[[], float] = time.time,
        removal_time: Callable[[], float] | None = None,
        is_worker_busy: Callable[[], bool] = lambda: False,
        threads: ThreadRegistry | None = None,
        max_backoff: float = _MAX_BACKOFF,
    ) -> None:
        """``max_age``: seconds after which an item is dropped, 0: never; ``rate``: see ``BatchSelector``.

        ``clock``: Unix time in seconds; ``removal_time``: the same, for the decision that an item is too old
        (None: ``clock``); ``is_worker_busy``: whether events wait to be counted; ``max_backoff``: seconds.
        """
        self.signal = signal
        self.pending = 0
        """Number of pending items."""
        self.oldest = 0.0
        """Time of the oldest pending item; Unix time in seconds; 0: no item is pending."""
        self.failures = 0
        """Number of failed attempts."""
        self.dropped: Counter[str] = Counter(dict.fromkeys(DROP_CAUSES, 0))
        self._queue = queue
        self._exporter = exporter
        self._max_age = max_age
        self._max_backoff = max_backoff
        self._clock = clock
        self._removal_time = removal_time or clock
        self._is_worker_busy = is_worker_busy
        self._delivery = BatchDelivery(signal, queue, exporter, self._count_dropped)
        self._selector = BatchSelector(signal, queue, rate, time.monotonic)
        self._logged_error = ""
        self._backoff = 0.0
        """Seconds until the next attempt; 0: the last attempt succeeded."""
        self._is_waiting = False
        """Whether the last turn found only items that wait for their messages."""
        self._has_new = threading.Event()
        self._stopping = threading.Event()
        self._threads = threads or ThreadRegistry()
        self._thread = SupervisedThread(
            self._threads, OTLP_SENDER, f"otlp-{signal}", self._run, self._stopping
        )

    @property
    def exported(self) -> int:
        """Number of items that the receiver accepted."""
        return self._delivery.exported

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Notify the sender of new items. May be called from any thread."""
        self._has_new.set()

    def stop(self, timeout: float) -> None:
        """Send what can be sent immediately, then stop within ``timeout`` seconds; abort a slow request."""
        deadline = time.monotonic() + timeout
        self._stopping.set()
        self._has_new.set()
        self._thread.join(timeout * _STOP_FRACTION)
        self._exporter.abort()
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        self._deliver()
        self._exporter.close()

    def _deliver(self) -> None:
        while not self._try(self._selector.begin_catch_up):
            # Another process may hold the journal for a while.
            if self._stopping.wait(_HOUSEKEEPING_INTERVAL):
                return
        due = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= due:
                self._try(self._run_housekeeping)
                due = time.monotonic() + _HOUSEKEEPING_INTERVAL
            began = time.monotonic()
            has_more = self._try(self._send_next)
            self._yield_to_worker(time.monotonic() - began)
            if self._backoff or not has_more:
                self._sleep(self._backoff or _HOUSEKEEPING_INTERVAL)
            elif self._is_waiting:
                self._stopping.wait(_WAITING_DELAY)
        if not self._backoff:
            self._try(lambda: self._send_next(final=True))

    def _yield_to_worker(self, seconds: float) -> None:
        """Rest while the worker is busy: what is to be sent is safe in the journal, events are not yet.

        ``seconds``: how long the last turn took.
        """
        end = time.monotonic() + _YIELD_FACTOR * seconds
        while self._is_worker_busy() and time.monotonic() < end:
            if self._stopping.wait(_YIELD_INTERVAL):
                return

    def _sleep(self, seconds: float) -> None:
        """Wait for new items; during backoff, wait for the time only."""
        if self._backoff:
            self._stopping.wait(seconds)
        elif self._has_new.wait(seconds):
            self._stopping.wait(_BATCH_DELAY)
        self._has_new.clear()

    def _try(self, action: Callable[[], bool | None]) -> bool:
        """Run an action that uses the journal. Return False if it returned False or failed."""
        try:
            return action() is not False
        except JournalReplacedError:
            self._reset()
            return False
        except UnavailableError as error:
            log.debug("export queue unavailable", extra={"signal": self.signal, "error": str(error)})
            return False
        except Exception as error:  # noqa: BLE001 - the items stay pending; retry later
            self._threads.report(OTLP_SENDER, error)
            self.failures += 1
            self._backoff = self._max_backoff
            return False

    def _reset(self) -> None:
        """Count the pending items as lost: the journal was replaced by another one."""
        if self.pending:
            self._count_dropped("history_gone", self.pending)
        self.pending = 0
        self._delivery.reset()
        self._selector.reset()

    def _run_housekeeping(self) -> None:
        """End overdue operations, remove items that are too old, update the statistics."""
        now = self._removal_time()
        if self.signal == TRACES:
            self._queue.expire_operations(now)
        self._delivery.mark_delivered()
        while self._max_age and not self._stopping.is_set():
            count = self._queue.remove_older(self.signal, now - self._max_age)
            if not count:
                break
            self._count_dropped("too_old", count)
        self.pending, self.oldest = self._queue.statistics(self.signal)

    def _send_next(self, *, final: bool = False) -> bool:
        """Send the next batches; return whether more items may be ready immediately."""
        self._is_waiting = True
        has_more = False
        exclude = self._delivery.unmarked | self._delivery.item_failures.keys()
        for batch in self._selector.select(self._clock(), exclude, final=final):
            self._drop_missing(batch)
            has_more = has_more or batch.has_waiting or self._selector.is_catching_up()
            if not batch.items:
                continue
            self._is_waiting, has_more = False, True
            if not self._send(batch.items):
                return False
        return has_more

    def _send(self, items: list[ExportItem]) -> bool:
        """Send a batch; return whether the receiver works."""
        without_message = [row.number for item in items for row in item.rows if row.may_get_message]
        if without_message:
            # A later message must not change an item that may be sent again.
            self._queue.mark_exported_without_message(self.signal, without_message)
        failure = self._delivery.deliver(items).failure or self._retry_failed_items()
        self._record_result(failure)
        return failure is None

    def _retry_failed_items(self) -> ExportResult | None:
        for position in list(self._delivery.item_failures):
            found = self._queue.read(self.signal, position - 1, 1)
            if not found or found[0].position != position:
                del self._delivery.item_failures[position]
                continue
            failure = self._delivery.retry(found[0])
            if failure is not None:
                return failure
        return None

    def _drop_missing(self, batch: Batch) -> None:
        if batch.missing:
            self._queue.remove(self.signal, batch.missing)
            self._count_dropped("history_gone", len(batch.missing))

    def _record_result(self, failure: ExportResult | None) -> None:
        if failure is None:
            if self._logged_error:
                log.info("delivery recovered", extra={"signal": self.signal})
                self._try(self._selector.begin_catch_up)
            self._logged_error, self._backoff = "", 0.0
            return
        self.failures += 1
        backoff = min(self._max_backoff, max(_MIN_BACKOFF, 2 * self._backoff))
        # The jitter keeps the exporters of a site from retrying at the same time.
        self._backoff = max(failure.retry_after, backoff * random.uniform(0.8, 1.0))  # noqa: S311 - no secret
        if failure.error != self._logged_error:
            self._logged_error = failure.error
            log.warning(
                "delivery failed; items are kept in the journal; retrying",
                extra={"signal": self.signal, "error": failure.error},
            )

    def _count_dropped(self, cause: str, count: int) -> None:
        self.dropped[cause] += count
        if cause == "too_old":
            log.warning(
                "items dropped: older than --otel.max-age", extra={"signal": self.signal, "count": count}
            )
