"""Maintenance of the journal on its own thread: checkpoints, retention, detection of damage.

Invariant: it blocks the worker for one small transaction at most, and a failure stops no other thread.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection

from libvirt_lifecycle_exporter.journal import tables
from libvirt_lifecycle_exporter.journal.damage import DamagedRow  # noqa: TC001 - one way of importing
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

_INTERVAL = 5.0
"""Seconds between two runs."""
_CHECK_INTERVAL = 60.0
"""Seconds between two searches for damage."""


class JournalMaintenance:
    """Checkpoints the journal and enforces the age and size limits of the history."""

    def __init__(
        self,
        journal: Journal,
        *,
        max_age: float,
        max_bytes: int,
        signals: Collection[str] = (),
        removal_time: Callable[[], float] = time.time,
        threads: ThreadRegistry | None = None,
        interval: float = _INTERVAL,
    ) -> None:
        """``max_age``: seconds that history is kept; ``max_bytes``: size of the journal. 0: no limit.

        ``signals``: the exported signals; history that is still to be exported is kept.
        ``removal_time``: current Unix time in seconds, never ahead of the true time.
        ``interval``: seconds between two runs.
        """
        self._journal = journal
        self._interval = interval
        self._signals = signals
        self._removal_time = removal_time
        self._logged: set[str] = set()
        """Causes of failures that were logged."""
        self._max_age = max_age
        self._max_bytes = max_bytes
        self._checked_at = float("-inf")
        self._stopping = threading.Event()
        self._thread = SupervisedThread(
            threads or ThreadRegistry(), JOURNAL_MAINTENANCE, "journal-maintenance", self._run, self._stopping
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop the thread; wait up to ``timeout`` seconds for its end."""
        self._stopping.set()
        self._thread.join(timeout)

    def run_once(self, now: float) -> None:
        """Run once. ``now``: Unix time in seconds. Raises sqlite3.Error or OSError."""
        with self._journal.maintenance_lock:
            if self._journal.is_open():
                self._maintain(now)

    def _maintain(self, now: float) -> None:
        database = connect(self._journal.path)
        try:
            if abs(now - self._checked_at) >= _CHECK_INTERVAL:
                self._checked_at = now
                self._check(database)
            while self._remove_some(database, now) and not self._stopping.is_set():
                pass
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            database.close()

    def _check(self, database: sqlite3.Connection) -> None:
        """Read what a restart would read: the worker reads from its cache and does not notice damage."""
        damaged: list[DamagedRow] = []
        try:
            tables.read(database, damaged)
        except sqlite3.Error as error:
            if is_corrupt(error):
                self._journal.corruption = error
            raise
        if damaged:
            self._journal.damaged_rows = damaged

    def _remove_some(self, database: sqlite3.Connection, now: float) -> bool:
        """Remove one chunk of rows beyond the limits; return False if there is none."""
        with self._journal.lock:
            if not self._journal.is_open():
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
        if self._max_age:
            # By their own time stamps, not in order: the clock may have been wrong for a while.
            removed = remove_old(database, now - self._max_age, latest, end)
        if not removed.rows and self._max_bytes and _used_bytes(database) > self._max_bytes:
            removed = remove_excess(database, disabled(self._signals), end)
        return removed if removed.rows else remove_orphans(database, disabled(self._signals))

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.run_once(self._removal_time())
            except (sqlite3.Error, OSError) as error:
                self._report(error)

    def _report(self, error: Exception) -> None:
        self._journal.errors += 1
        if str(error) not in self._logged:
            self._logged.add(str(error))
            log.warning("journal maintenance failed; retrying", extra={"error": error})


def _used_bytes(database: sqlite3.Connection) -> int:
    """Return the bytes in use. Free pages do not count: SQLite reuses them before the file grows."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
