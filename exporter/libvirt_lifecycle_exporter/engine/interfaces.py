"""Protocols of what the engine and the worker use: metrics, journal, connections."""

from collections.abc import Callable, Mapping
from typing import Protocol

from libvirt_lifecycle_exporter.engine.changes import Change, ChangeBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, Name, SavedState, TotalKey
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition


class Sink(Protocol):
    """The metrics, as the engine and the worker use them."""

    def apply(self, change: Change) -> None:
        """Take in a change that the journal has written."""

    def exemplify(self, traced: TracedTransition) -> None:
        """Name the span of a transition that was applied, for its exemplar."""

    def admit(self, connection: str, name: str) -> str:
        """Reserve series for a domain; return the name that it is counted under: its own, or ``_other``."""

    def place(self, change: Transition) -> str:
        """Reserve series for a transition; return the name that it is counted under."""

    def show(self, domain: DomainValues) -> None:
        """Show a restored domain."""

    def incident(self, incident: Incident, place: str = "", more: int = 1) -> None:
        """Show a restored incident; ``more``: 0: it is counted already."""

    def forget(self, connection: str, name: str) -> None:
        """Forget a domain that was removed long ago."""

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Remove the series whose time has come; return their (connection, name). ``now``: Unix time."""

    def restore(self, memory: SavedState, now: float) -> None:
        """Load the counters from before a restart; ``now``: Unix time, seconds."""

    def folded(self) -> frozenset[Name]:
        """Return the domains that have no series of their own."""

    def folded_lately(self) -> dict[Name, bool]:
        """Return the domains that lost their own series (True) or got some (False) since the last call."""

    def counted(self) -> tuple[dict[CountKey, tuple[int, float]], dict[TotalKey, float]]:
        """Return all counters of domains (count, newest time) and totals of connections."""


class StateWriter(Protocol):
    """The journal, or its replacement when it is disabled."""

    def append(self, batch: ChangeBatch) -> None: ...
    def recover(self, now: Callable[[], SavedState]) -> None: ...


class RequestReceiver(Protocol):
    """A connection, as the worker sends requests to it."""

    def request_listing(self) -> None: ...
    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None: ...
