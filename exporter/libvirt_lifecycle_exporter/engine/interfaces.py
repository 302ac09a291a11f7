"""Protocols of what the worker uses: metrics, journal, connections."""

from collections.abc import Callable, Container, Mapping
from typing import Protocol

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, Name, SavedState, TotalKey
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest


class Metrics(Protocol):
    """The metrics, as the worker uses them."""

    def apply(self, batch: ChangeBatch, on_error: Callable[[Exception], None]) -> None:
        """Apply a batch that the journal has written; ``on_error``: called for each part that raises."""

    def restore(self, state: SavedState, own_names: Container[Name]) -> None:
        """Load the counters from before a restart; ``own_names``: those not under ``_other``."""

    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]:
        """Return all counters of domains (count, newest time) and totals of connections."""


class JournalWriter(Protocol):
    """The journal, or its replacement when it is disabled."""

    def append(self, batch: ChangeBatch) -> None: ...
    def recover(self, now: Callable[[], SavedState]) -> None: ...


class RequestReceiver(Protocol):
    """A connection, as the worker sends requests to it."""

    def request_listing(self) -> None: ...
    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None: ...
