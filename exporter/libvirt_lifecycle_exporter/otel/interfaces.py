"""Protocols of the export queue, the exporters and the transports."""

from collections.abc import Sequence
from typing import Protocol

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.responses import ExportResult


class ExportQueue(Protocol):
    """The journal's queue of pending items, one per signal. Every method may raise ``UnavailableError``.

    ``signal`` is ``traces`` or ``logs``. Times are Unix times in seconds.
    """

    def read(self, signal: str, after: int, limit: int) -> list[ExportItem]:
        """Return up to ``limit`` pending items with positions above ``after``, in order."""

    def last_positions(self, signal: str) -> dict[tuple[str, str], int]:
        """Return the last pending position of each domain, by (connection, uuid)."""

    def statistics(self, signal: str) -> tuple[int, float]:
        """Return the number of pending items and the time of the oldest (0: none)."""

    def mark_exported_without_message(self, signal: str, numbers: Sequence[int]) -> None:
        """Record that these transitions, by journal number, are sent without a message."""

    def remove(self, signal: str, positions: Sequence[int]) -> None:
        """Remove items that were delivered or dropped."""

    def add_dead_letters(self, signal: str, items: Sequence[ExportItem], cause: str, error: str) -> None:
        """Move items that cannot be delivered from the queue to the dead letters."""

    def remove_older(self, signal: str, before: float) -> int:
        """Remove items older than ``before``, at most one chunk; return their number."""

    def expire_operations(self, now: float) -> int:
        """End the spans of operations that exceeded their time limit; return their number."""


class Transport(Protocol):
    """Sends encoded requests to a receiver."""

    def send(self, payload: bytes) -> ExportResult:
        """Send a request and return the result within the endpoint's timeout. Raises nothing."""

    def abort(self) -> None:
        """Abort the current request and refuse all further ones. May be called from another thread."""

    def close(self) -> None:
        """Close the connection."""


class ItemExporter(Protocol):
    """Exports items to a receiver."""

    def export(self, items: Sequence[ExportItem]) -> ExportResult:
        """Export items as one request. An empty request tests whether the receiver accepts requests."""

    def abort(self) -> None:
        """Abort the current request and refuse all further ones. May be called from another thread."""

    def close(self) -> None:
        """Close the connection."""
