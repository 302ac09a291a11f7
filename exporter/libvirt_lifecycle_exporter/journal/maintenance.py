"""What may wait for the disk, on a thread of its own: checkpoints, and the end of old history.

Law: it never holds the journal for longer than one small transaction, and its failures stop nothing.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection

from libvirt_lifecycle_exporter.journal import tables
from libvirt_lifecycle_exporter.journal.damage import Damaged  # noqa: TC001 - one way of importing
from libvirt_lifecycle_exporter.journal.database_file import connect, is_corrupt
from libvirt_lifecycle_exporter.journal.retention import (
    Removed,
    disabled,
    first_needed,
    remove_excess,
    remove_old,
    remove_orphans,
)
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.runtime.threads import JOURNAL_MAINTENANCE, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_EVERY = 5.0
_CHECK_EVERY = 60.0


class JournalMaintenance:
    """Checkpoints the journal, and removes history that is older or larger than it may be."""

    def __init__(
        self,
        journal: Journal,
        *,
        oldest: float,
        largest: int,
        signals: Collection[str] = (),
        removal_time: Callable[[], float] = time.time,
        threads: ThreadRegistry | None = None,
        every: float = _EVERY,
    ) -> None:
        """``oldest``: seconds that history is kept; ``largest``: bytes of the journal. 0: no limit.

        ``signals``: those that are delivered; history that one of them still needs is kept.
        ``removal_time``: Unix time, seconds, by which history is old; never ahead of the true time.
        """
        self._journal = journal
        self._every = every
        self._signals = signals
        self._removal_time = removal_time
        self._logged: set[str] = set()
        """Causes of failed maintenance that were logged."""
        self._oldest = oldest
        self._largest = largest
        self._checked = float("-inf")
        self._stopping = threading.Event()
        self._thread = SupervisedThread(
            threads or ThreadRegistry(), JOURNAL_MAINTENANCE, "journal-keeper", self._run, self._stopping
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(timeout)

    def keep(self, now: float) -> None:
        """Do it once. Raises sqlite3.Error or OSError where the journal cannot be had."""
        with self._journal.keeping:
            if self._journal.holds():
                self._keep(now)

    def _keep(self, now: float) -> None:
        database = connect(self._journal.path)
        try:
            if abs(now - self._checked) >= _CHECK_EVERY:
                self._checked = now
                self._check(database)
            while self._remove_some(database, now) and not self._stopping.is_set():
                pass
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            database.close()

    def _check(self, database: sqlite3.Connection) -> None:
        """Read what a restart would read: the writer has it in its cache, and would not notice damage."""
        damaged: list[Damaged] = []
        try:
            tables.read(database, damaged)
        except sqlite3.Error as error:
            if is_corrupt(error):
                self._journal.suspicion = error
            raise
        if damaged:
            self._journal.damaged = damaged

    def _remove_some(self, database: sqlite3.Connection, now: float) -> bool:
        """Remove one chunk of what is too much; False if nothing is."""
        with self._journal.lock:
            if not self._journal.holds():
                return False
            removed = self._remove(database, now)
            self._journal.events -= removed.transitions
        if removed.signal:
            self._journal.disabled_dropped[removed.signal] += removed.rows
        return removed.rows > 0

    def _remove(self, database: sqlite3.Connection, now: float) -> Removed:
        latest = max(now, time.time())
        end = first_needed(database, self._signals, now, latest)
        removed = Removed()
        if self._oldest:
            # By their own time: the clock may have been wrong for a while.
            removed = remove_old(database, now - self._oldest, latest, end)
        if not removed.rows and self._largest and _used(database) > self._largest:
            removed = remove_excess(database, disabled(self._signals), end)
        return removed if removed.rows else remove_orphans(database, disabled(self._signals))

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.keep(self._removal_time())
            except (sqlite3.Error, OSError) as error:
                self._note(error)

    def _note(self, error: Exception) -> None:
        self._journal.errors += 1
        if str(error) not in self._logged:
            self._logged.add(str(error))
            log.warning("journal maintenance failed: %s; retrying", error)


def _used(database: sqlite3.Connection) -> int:
    """Bytes in use: free pages are used again before the file grows."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
