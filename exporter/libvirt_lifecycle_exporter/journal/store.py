"""Append, restore, heal.

Law: ``append`` returns after the batch is committed, or is kept in memory and counted as an error; it
raises nothing. Healing writes what was kept. A journal that could not be read at the start, or that was
lost on the way, is healed by writing the counters as they are now: Prometheus has seen those.
"""

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from libvirt_lifecycle_exporter.effects import NOTHING, CountKey, Effects, Memory
from libvirt_lifecycle_exporter.journal.file import File, TakenError, is_corrupt, set_aside, size_of
from libvirt_lifecycle_exporter.journal.rows import (
    DOMAIN,
    EXPLAIN,
    INCIDENT,
    INSERT_TRANSITION,
    UPSERT_DOMAIN,
    UPSERT_INCIDENT,
    domain_from,
    domain_row,
    incident_from,
    incident_row,
)
from libvirt_lifecycle_exporter.journal.schema import FutureError

log = logging.getLogger(__name__)

_KEEP = 100_000
"""Transitions kept in memory while the journal cannot be written; older ones are lost from the history
(not from the counters), and that is counted."""

_ERRORS = (OSError, sqlite3.Error, TakenError, FutureError)


class Journal:
    """One journal file; used by the worker's thread alone, but for the figures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors = 0
        """Failed attempts to write, and transitions that could not be kept."""
        self.events = 0
        """Transitions in the history."""
        self._file: File | None = None
        self._in_step = False
        """Whether the file's counters plus what is kept are the counters that Prometheus has seen."""
        self._kept: list[Effects] = []
        self._kept_transitions = 0
        self._complaint = ""
        self.lock = threading.Lock()
        """Held while the file is written or closed; the keeper respects it."""

    def restore(self) -> Memory:
        """Open the journal and return what it remembers; nothing, and a log line, where it cannot be read."""
        try:
            self._open()
            state = self._read()
        except _ERRORS as error:
            self._ail(error)
            return NOTHING
        self._in_step = True
        return state

    def append(self, batch: Effects) -> None:
        """Commit a batch."""
        if self._file is not None and not self._kept:
            try:
                self._write([batch])
            except _ERRORS as error:
                self._ail(error)
            else:
                return
        self._keep(batch)

    def tend(self, now: Callable[[], Memory]) -> None:
        """Heal if need be. ``now`` tells the counters and states as they are, with all that is kept in them."""
        if self._file is not None and not self._file.is_itself():
            self._ail(OSError("it was deleted or replaced while it was written"))
            self._in_step = False
        if self._file is not None and not self._kept:
            return
        try:
            if self._file is None:
                self._open()
            if self._in_step:
                self._write(self._kept)
            else:
                self._rewrite(now(), self._kept)
        except _ERRORS as error:
            self._ail(error)
            return
        self._kept, self._kept_transitions, self._in_step = [], 0, True
        if self._complaint:
            log.info("the journal is well again")
            self._complaint = ""

    def close(self) -> None:
        """Close it."""
        with self.lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def size(self) -> int:
        """Return its bytes on disk, write-ahead log included."""
        return size_of(self.path)

    def _open(self) -> None:
        try:
            self._file = File(self.path)
        except sqlite3.Error as error:
            if not is_corrupt(error):
                raise
            self._begin_anew(error)
            self._file = File(self.path)
        if self._file.is_new:
            self._in_step = False
        (self.events,) = self._file.database.execute("SELECT count(*) FROM transitions").fetchone()

    def _begin_anew(self, error: Exception) -> None:
        self.errors += 1
        self._in_step = False
        log.error(
            "the journal was corrupt (%s); it is now %s, and a new one begins", error, set_aside(self.path)
        )

    def _ail(self, error: Exception) -> None:
        """Note that it cannot be used, once for each cause; whatever is open is closed."""
        self.errors += 1
        with self.lock:
            if self._file is not None:
                self._file.close()
                self._file = None
        if is_corrupt(error):
            try:
                self._begin_anew(error)
            except OSError as worse:
                error = worse
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error(
                "the journal %s cannot be used: %s; counting goes on in memory, and it is tried again",
                self.path,
                error,
            )

    def _keep(self, batch: Effects) -> None:
        self._kept.append(batch)
        self._kept_transitions += len(batch.transitions)
        while self._kept_transitions > _KEEP:
            oldest = next(kept for kept in self._kept if kept.transitions)
            self._kept_transitions -= len(oldest.transitions)
            self.errors += len(oldest.transitions)
            # Counters of what is lost from the history are written from memory.
            self._in_step = False
            self._kept.remove(oldest)

    def _write(self, batches: Iterable[Effects]) -> None:
        assert self._file is not None
        database = self._file.database
        with self.lock:
            database.execute("BEGIN IMMEDIATE")
            try:
                for batch in batches:
                    _append(database, batch)
                    self.events += len(batch.transitions)
                database.execute("COMMIT")
            except BaseException:
                _roll_back(database)
                raise

    def _rewrite(self, state: Memory, kept: list[Effects]) -> None:
        assert self._file is not None
        database = self._file.database
        with self.lock:
            database.execute("BEGIN IMMEDIATE")
            try:
                for batch in kept:
                    database.executemany(INSERT_TRANSITION, batch.transitions)
                    database.executemany(
                        UPSERT_INCIDENT, [incident_row(one) for one in batch.incidents.values()]
                    )
                    self.events += len(batch.transitions)
                _replace(database, state)
                database.execute("COMMIT")
            except BaseException:
                _roll_back(database)
                raise

    def _read(self) -> Memory:
        assert self._file is not None
        database = self._file.database
        counts = {
            (row[0], row[1], row[2], row[3]): (row[4], row[5])
            for row in database.execute("SELECT connection, name, event, reason, count, last FROM counts")
        }
        totals = {
            (row[0], row[1], row[2], row[3]): row[4]
            for row in database.execute("SELECT connection, kind, what, reason, count FROM totals")
        }
        domains = [
            domain_from(row)
            for row in database.execute(f"SELECT {', '.join(DOMAIN)} FROM domains")  # noqa: S608 - names
        ]
        watched = dict(database.execute("SELECT connection, watched_until FROM watches").fetchall())
        incidents = [
            incident_from(row)
            for row in database.execute(
                f"SELECT {', '.join(INCIDENT)} FROM incidents WHERE closed_at IS NULL"  # noqa: S608 - names
            )
        ]
        return Memory(counts, totals, domains, watched, incidents)


def _append(database: sqlite3.Connection, batch: Effects) -> None:
    database.executemany(INSERT_TRANSITION, batch.transitions)
    database.executemany(
        EXPLAIN, [(words, connection, uuid, since) for connection, uuid, since, words in batch.messages]
    )
    grown: Counter[CountKey] = Counter()
    newest: dict[CountKey, float] = {}
    for change in batch.transitions:
        key = (change.connection, change.name, change.event, change.reason)
        grown[key] += 1
        newest[key] = change.at
    for opened in batch.opened:
        key = (opened.connection, opened.name, "incident", opened.kind)
        grown[key] += 1
        newest[key] = opened.opened_at
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in batch.incidents.values()])
    database.executemany(
        "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET count = count + excluded.count, last = excluded.last",
        [(*key, count, newest[key]) for key, count in grown.items()],
    )
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(*key, count) for key, count in batch.totals.items()],
    )
    database.executemany(UPSERT_DOMAIN, [domain_row(domain) for domain in batch.domains.values()])
    database.executemany(
        "DELETE FROM domains WHERE connection = ? AND uuid = ?",
        [(domain.connection, domain.uuid) for domain in batch.forgotten],
    )
    database.executemany("DELETE FROM counts WHERE connection = ? AND name = ?", batch.expired)
    database.executemany("INSERT OR REPLACE INTO watches VALUES (?, ?)", batch.watched_until.items())


def _replace(database: sqlite3.Connection, state: Memory) -> None:
    for table in ("counts", "totals", "domains", "watches"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own
    database.executemany(
        "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?)",
        [(*key, count, last) for key, (count, last) in state.counts.items()],
    )
    database.executemany(
        "INSERT INTO totals VALUES (?, ?, ?, ?, ?)", [(*key, count) for key, count in state.totals.items()]
    )
    database.executemany(UPSERT_DOMAIN, [domain_row(domain) for domain in state.domains])
    database.executemany("INSERT INTO watches VALUES (?, ?)", state.watched_until.items())
    database.executemany(UPSERT_INCIDENT, [incident_row(one) for one in state.incidents])


def _roll_back(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        try:
            database.execute("ROLLBACK")
        except sqlite3.Error:
            log.debug("the journal could not be rolled back; it is opened anew")
