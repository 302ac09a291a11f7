"""Delivery of one batch: send it, split it if the receiver refuses it, and isolate items that always fail.

Invariant: an item becomes a dead letter only if it is the cause itself: it cannot be encoded; or it was the
only item of its request, and the receiver accepts other items (or an empty request). All other items stay
pending: a wrong token, a wrong path or a failing receiver costs no item.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, ItemExporter
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus

log = logging.getLogger(__name__)

MAX_ITEM_FAILURES: Final = 8
"""Failed retries of one item, while the receiver accepts others, before the item becomes a dead letter."""

_MAX_REQUEST_FAILURES: Final = 32
"""Failed requests of one batch, without a success, after which the receiver itself counts as failing."""

_ITEM_ERRORS: Final = frozenset({ExportStatus.UNENCODABLE, ExportStatus.TOO_LARGE})
"""Statuses that are caused by the item, whatever happens to other items."""

_MAX_LOGGED_ITEMS: Final = 10
_MAX_LOGGED_ROWS: Final = 3
"""Of each item."""


class BatchResult(NamedTuple):
    """The result of a batch."""

    delivered: int
    """Number of accepted items."""
    failure: ExportResult | None
    """The reason why items are still pending; None: none are."""


class BatchDelivery:
    """Delivers the batches of one signal."""

    def __init__(
        self,
        signal: str,
        queue: ExportQueue,
        exporter: ItemExporter,
        count_dropped: Callable[[str, int], None],
    ) -> None:
        """``count_dropped``: called with the cause and the number of dropped items."""
        self._signal = signal
        self._queue = queue
        self._exporter = exporter
        self._count_dropped = count_dropped
        self.exported = 0
        """Number of items that the receiver accepted."""
        self.unmarked: set[int] = set()
        """Positions of items that were delivered but could not yet be removed from the queue."""
        self.item_failures: dict[int, int] = {}
        """Position -> number of failures of an item that was sent alone. Batches exclude these items."""

    def deliver(self, items: Sequence[ExportItem]) -> BatchResult:
        """Deliver a batch as far as possible. Raises UnavailableError if the journal is unavailable."""
        delivered = failures = 0
        accepts_empty = False
        failed: list[tuple[ExportItem, ExportResult]] = []
        parts = [list(items)]
        while parts:
            part = parts.pop()
            result = self._exporter.export(part)
            status = result.status
            if status is ExportStatus.DELIVERED:
                delivered += self._record_delivery(part, result)
                continue
            failures += 1
            receiver_fails = (
                status is ExportStatus.FAILED and not delivered and failures > _MAX_REQUEST_FAILURES
            )
            if status is ExportStatus.RETRY or receiver_fails:
                return BatchResult(delivered, result)
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif status in _ITEM_ERRORS:
                self._add_dead_letters(part, result)
            elif status is ExportStatus.FAILED:
                failed.append((part[0], result))
            else:
                accepts_empty = accepts_empty or bool(delivered) or self._accepts_empty_request()
                if not accepts_empty:
                    return BatchResult(delivered, result)
                self._add_dead_letters(part, result)
        if failed and not delivered:
            return BatchResult(delivered, failed[0][1])
        self.item_failures.update((item.position, 1) for item, _ in failed)
        return BatchResult(delivered, None)

    def retry(self, item: ExportItem) -> ExportResult | None:
        """Retry a failed item alone, after a success of others. Return the result if the receiver fails."""
        result = self._exporter.export([item])
        if result.status is ExportStatus.RETRY:
            return result
        if result.status is ExportStatus.DELIVERED:
            self._record_delivery([item], result)
        elif (
            self.item_failures[item.position] >= MAX_ITEM_FAILURES or result.status is not ExportStatus.FAILED
        ):
            self._add_dead_letters([item], result)
        else:
            self.item_failures[item.position] += 1
            return None
        del self.item_failures[item.position]
        return None

    def reset(self) -> None:
        """Discard all positions: the journal was replaced by another one."""
        self.unmarked.clear()
        self.item_failures.clear()

    def mark_delivered(self) -> None:
        """Remove delivered items from the queue. Raises UnavailableError."""
        if self.unmarked:
            self._queue.remove(self._signal, sorted(self.unmarked))
            self.unmarked.clear()

    def _accepts_empty_request(self) -> bool:
        return self._exporter.export(()).status is ExportStatus.DELIVERED

    def _record_delivery(self, part: Sequence[ExportItem], result: ExportResult) -> int:
        if result.error:
            log.warning("receiver reported an error", extra={"signal": self._signal, "error": result.error})
        rejected = min(result.rejected, len(part))
        if rejected and rejected == len(part):
            self._add_dead_letters(part, result._replace(status=ExportStatus.REJECTED))
            return 0
        if rejected:
            # The response does not name the rejected items, and OTLP forbids sending them again.
            self._count_dropped(ExportStatus.REJECTED.value, rejected)
        self.exported += len(part) - rejected
        self.unmarked.update(item.position for item in part)
        self.mark_delivered()
        return len(part) - rejected

    def _add_dead_letters(self, items: Sequence[ExportItem], result: ExportResult) -> None:
        cause = result.status.value
        self._queue.add_dead_letters(self._signal, items, cause, result.error)
        self._count_dropped(cause, len(items))
        numbers = [row.number for item in items[:_MAX_LOGGED_ITEMS] for row in item.rows[:_MAX_LOGGED_ROWS]]
        log.warning(
            "items cannot be delivered; moved to the dead letters",
            extra={
                "signal": self._signal,
                "count": len(items),
                "cause": cause,
                "error": result.error,
                "sequence": ", ".join(map(str, numbers)),
            },
        )
