"""The journal that is used with ``--journal.path=none``: it stores nothing."""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, SavedState

log = logging.getLogger(__name__)


class DisabledJournal:
    """Discards every batch. After a restart the counters start at 0."""

    events = 0
    errors = 0
    disabled_dropped: Mapping[str, int] = MappingProxyType({})

    def restore(self) -> SavedState:
        """Log that there is no journal, and return an empty state."""
        log.warning(
            "journal disabled: counters start at 0, events while the exporter is down are not counted"
        )
        return NOTHING

    def append(self, effects: ChangeBatch) -> None:
        """Discard a batch."""

    def recover(self, now: Callable[[], SavedState]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def size(self) -> int:
        """Return 0."""
        return 0
