"""No journal: ``--journal.path=none``. A restart forgets, and what happens meanwhile stays unknown."""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, SavedState

log = logging.getLogger(__name__)


class DisabledJournal:
    """Takes everything and keeps nothing."""

    events = 0
    errors = 0
    disabled_dropped: Mapping[str, int] = MappingProxyType({})

    def restore(self) -> SavedState:
        """Say that there is nothing to restore, and never will be."""
        log.warning(
            "there is no journal: counters begin at 0, and what happens while this is down is not counted"
        )
        return NOTHING

    def append(self, effects: ChangeBatch) -> None:
        """Let it go."""

    def tend(self, now: Callable[[], SavedState]) -> None:
        """Nothing to mend."""

    def close(self) -> None:
        """Nothing to close."""

    def size(self) -> int:
        """Return 0."""
        return 0
