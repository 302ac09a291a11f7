"""What may wait for the disk, on a thread of its own: checkpoints, and the end of old history.

Law: it never holds the journal for longer than one small transaction, and its failures stop nothing.
"""

import logging
import sqlite3
import threading
import time

from libvirt_lifecycle_exporter.journal.file import connect
from libvirt_lifecycle_exporter.journal.store import Journal

log = logging.getLogger(__name__)

_EVERY = 5.0
_CHUNK = 2000
"""Rows that one transaction removes."""


class Keeper:
    """Checkpoints the journal, and removes history that is older or larger than it may be."""

    def __init__(self, journal: Journal, *, oldest: float, largest: int) -> None:
        """``oldest``: seconds that history is kept; ``largest``: bytes that the journal may have. 0: no limit."""
        self._journal = journal
        self._oldest = oldest
        self._largest = largest
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End."""
        self._stopping.set()
        self._thread.join(timeout)

    def keep(self, now: float) -> None:
        """Do it once. Raises sqlite3.Error or OSError where the journal cannot be had."""
        if not self._journal.path.exists():
            return
        database = connect(self._journal.path)
        try:
            while self._remove_some(database, now) and not self._stopping.is_set():
                pass
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            database.close()

    def _remove_some(self, database: sqlite3.Connection, now: float) -> bool:
        """Remove one chunk of what is too much; False if nothing is."""
        last = self._last_of_chunk(database, now)
        if last is None:
            return False
        with self._journal.lock:
            done = database.execute("DELETE FROM transitions WHERE seq <= ?", (last,)).rowcount
            self._journal.events -= done
        return done > 0

    def _last_of_chunk(self, database: sqlite3.Connection, now: float) -> int | None:
        """Return the newest sequence number to remove now: history ends from its beginning."""
        row = database.execute(
            "SELECT seq, at FROM transitions ORDER BY seq LIMIT 1 OFFSET ?", (_CHUNK - 1,)
        ).fetchone()
        if self._oldest:
            too_old = database.execute(
                "SELECT max(seq) FROM (SELECT seq FROM transitions WHERE at < ? ORDER BY at LIMIT ?)",
                (now - self._oldest, _CHUNK),
            ).fetchone()[0]
            if too_old is not None:
                return int(too_old)
        if self._largest and row is not None and _used(database) > self._largest:
            return int(row[0])
        return None

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY):
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
