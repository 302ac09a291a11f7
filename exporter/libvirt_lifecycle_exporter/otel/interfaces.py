"""What these rooms expect of the journal and of each other."""

from collections.abc import Sequence
from typing import Protocol

from libvirt_lifecycle_exporter.journal.export_items import ExportItem
from libvirt_lifecycle_exporter.otel.responses import Answer


class ExportQueue(Protocol):
    """The journal's queue; every method may raise ``parcels.UnavailableError``."""

    def take(self, signal: str, after: int, limit: int) -> list[ExportItem]: ...
    def newest(self, signal: str) -> dict[tuple[str, str], int]: ...
    def figures(self, signal: str) -> tuple[int, float]: ...
    def seal(self, signal: str, numbers: Sequence[int]) -> None: ...
    def done(self, signal: str, places: Sequence[int]) -> None: ...
    def set_aside(self, signal: str, parcels: Sequence[ExportItem], cause: str, words: str) -> None: ...
    def give_up(self, signal: str, before: float) -> int: ...
    def expire(self, now: float) -> int: ...


class Transport(Protocol):
    """Takes an encoded request to the receiver."""

    def send(self, payload: bytes) -> Answer:
        """Send it and wait for the answer, for no longer than the endpoint's timeout; raises nothing."""

    def abort(self) -> None:
        """End what is under way, and all that follows; called from another thread."""

    def close(self) -> None:
        """Let go of the connection."""


class Wire(Protocol):
    """Takes parcels to the receiver."""

    def send(self, parcels: Sequence[ExportItem]) -> Answer:
        """Send them as one request; none at all asks whether the receiver is there."""

    def abort(self) -> None:
        """End what is under way, and all that follows; called from another thread."""

    def close(self) -> None:
        """Let go of the connection."""
