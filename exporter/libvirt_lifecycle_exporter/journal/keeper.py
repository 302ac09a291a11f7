"""What may wait for the disk, on a thread of its own: checkpoints, and the end of old history.

Law: it never holds the journal for longer than one small transaction, and its failures stop nothing.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from libvirt_lifecycle_exporter.journal import tables
from libvirt_lifecycle_exporter.journal.damage import Damaged  # noqa: TC001 - one way of importing
from libvirt_lifecycle_exporter.journal.file import connect, is_corrupt
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.threads import JOURNAL_MAINTENANCE, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_EVERY = 5.0
_CHECK_EVERY = 60.0
_CHUNK = 2000
"""Rows that one transaction removes."""
_LAST = 2**63 - 1


class Keeper:
    """Checkpoints the journal, and removes history that is older or larger than it may be."""

    def __init__(
        self,
        journal: Journal,
        *,
        oldest: float,
        largest: int,
        needed: Callable[[sqlite3.Connection], int | None] = lambda _: None,
        threads: ThreadRegistry | None = None,
        every: float = _EVERY,
    ) -> None:
        """``oldest``: seconds that history is kept; ``largest``: bytes of the journal. 0: no limit.

        ``needed``: the number from which on the history must stay, whatever its age; None: none must.
        """
        self._journal = journal
        self._every = every
        self._needed = needed
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
            done = self._remove_old(database, now) or self._remove_first(database)
            self._journal.events -= done
        return done > 0

    def _remove_old(self, database: sqlite3.Connection, now: float) -> int:
        """By their own time: the clock may have been wrong for a while."""
        if not self._oldest:
            return 0
        return database.execute(
            "DELETE FROM transitions WHERE seq IN "
            "(SELECT seq FROM transitions WHERE at < ? AND seq < ? ORDER BY at LIMIT ?)",
            (now - self._oldest, self._end(database), _CHUNK),
        ).rowcount

    def _remove_first(self, database: sqlite3.Connection) -> int:
        if not self._largest or _used(database) <= self._largest:
            return 0
        # Not the last of them: it may be the counters that are large.
        return database.execute(
            "DELETE FROM transitions "
            "WHERE seq < min(?, (SELECT seq FROM transitions ORDER BY seq LIMIT 1 OFFSET ?))",
            (self._end(database), _CHUNK),
        ).rowcount

    def _end(self, database: sqlite3.Connection) -> int:
        """Return the number from which on nothing may go."""
        needed = self._needed(database)
        return _LAST if needed is None else needed

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.keep(time.time())
            except (sqlite3.Error, OSError) as error:
                log.debug("the journal could not be kept: %s", error)


def _used(database: sqlite3.Connection) -> int:
    """Bytes in use: free pages are used again before the file grows."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
