"""The journal: append batches, restore the state after a restart, recover from errors.

Invariant: ``append`` returns after the batch is committed, or after its history is buffered and an error is
counted; it raises nothing. When the journal recovers, the buffered history is appended, and counters and
states are written with their current values, which Prometheus has already scraped.
"""

import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HistoryBatch, TracedTransition
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, SavedState
from libvirt_lifecycle_exporter.journal import damage, tables
from libvirt_lifecycle_exporter.journal.buffer import MAX_BYTES, HistoryBuffer
from libvirt_lifecycle_exporter.journal.damage import DamagedRow
from libvirt_lifecycle_exporter.journal.database_file import (
    JournalFile,
    Lock,
    LockedError,
    disk_size,
    is_corrupt,
    open_read_only,
    rename_corrupt,
)
from libvirt_lifecycle_exporter.journal.filesystem import hint
from libvirt_lifecycle_exporter.journal.run_scope import EVERYTHING, RunScope
from libvirt_lifecycle_exporter.journal.schema import NewerSchemaError
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.transaction import Execute, Result, transact
from libvirt_lifecycle_exporter.runtime.threads import WORKER, ThreadRegistry

log = logging.getLogger(__name__)

FIRST_RETRY = 1.0
_MAX_RETRY_DELAY = 15.0
"""Seconds between two attempts to reopen the journal; the delay doubles with each attempt."""

_LOCK_TIMEOUT = 2.0
"""Seconds that ``restore`` waits for a previous process to release the lock."""

_ERRORS = (OSError, sqlite3.Error, UnicodeDecodeError, LockedError, NewerSchemaError)


class Journal:
    """One journal file.

    The methods are called by the worker thread. Any thread may read ``errors``, ``events``, ``size`` and
    ``is_open``; the maintenance thread and the export queue use the two locks.
    """

    def __init__(
        self,
        path: Path,
        run_scope: RunScope = EVERYTHING,
        span_recorder: SpanRecorder | None = None,
        threads: ThreadRegistry | None = None,
        *,
        max_buffer_bytes: int = MAX_BYTES,
        first_retry: float = FIRST_RETRY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``run_scope``: connections and names of this run; ``span_recorder``: None: nothing is exported.

        ``first_retry``: delay in seconds; 0: every call of ``recover`` is an attempt. ``monotonic``: seconds.
        """
        self.path = path
        self._threads = threads or ThreadRegistry()
        self._run_scope = run_scope
        self._others = NOTHING
        """State outside of the run scope, which is copied to a new file."""
        self._span_recorder = span_recorder
        self.on_append: Callable[[], None] = lambda: None
        """Called after a batch was queued for export. It must not block."""
        self.errors = 0
        """Number of failed writes, and of transitions and incidents dropped from the buffer."""
        self.events = 0
        """Number of transitions in the history."""
        self.disabled_dropped: Counter[str] = Counter()
        """Signal -> number of queued rows that retention removed because the signal is disabled."""
        self._lock: Lock | None = None
        """Held until ``close``, also while the file cannot be used: no other process may write to it."""
        self._file: JournalFile | None = None
        self._buffer = HistoryBuffer(max_buffer_bytes)
        self._has_dropped = False
        """Whether the buffer was full since the journal was last written."""
        self._first_retry = first_retry
        self._retry_delay = 0.0
        self._retry_at = float("-inf")
        """Time of the next attempt to open the file; monotonic, seconds."""
        self._monotonic = monotonic
        self._logged_causes: set[str] = set()
        """Causes that were logged since the journal was last writable."""
        self.lock = threading.Lock()
        """Held while a thread writes to the file or closes it."""
        self.maintenance_lock = threading.Lock()
        """Held while another thread has its own connection to the file, which is not closed meanwhile."""
        self.corruption: sqlite3.Error | None = None
        """Corruption found by maintenance; handled by the next ``recover``."""
        self.damaged_rows: list[DamagedRow] = []
        """DamagedRow rows found by maintenance; handled by the next ``recover``."""

    def restore(self) -> SavedState:
        """Open the journal and return its state; an empty state if it cannot be read, which is logged."""
        try:
            file = self._open(lock_timeout=_LOCK_TIMEOUT)
            damaged: list[DamagedRow] = []
            state = tables.read(file.database, damaged)
            self._count_events(file)
        except _ERRORS as error:
            self._fail(error)
            if is_corrupt(error):
                self.recover(lambda: NOTHING)
            return NOTHING if self._is_unreadable(error) else self._read_only_state()
        restored = self._restored(state)
        self._discard(damaged)
        return restored

    def append(self, batch: ChangeBatch) -> None:
        """Commit a batch, or buffer its history. Sets ``batch.traced``."""
        if self._file is not None:
            try:
                batch.traced = self._write(self._file, batch)
            except _ERRORS as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - reported; the counters are written from memory later
                self._threads.report(WORKER, error)
                self._count_lost(batch)
                return
            else:
                return
        self._add_to_buffer(batch)

    def recover(self, now: Callable[[], SavedState]) -> None:
        """Reopen the journal if it failed or was replaced. ``now`` returns the current state."""
        suspicion, self.corruption = self.corruption, None
        if self._file is not None and suspicion is not None:
            self._fail(suspicion)
        damaged, self.damaged_rows = self.damaged_rows, []
        if self._file is not None:
            self._discard(damaged)
        if self._file is not None and not self._file.is_current():
            self._fail(OSError("the file was deleted or replaced while it was open"))
        if self._file is not None or self._monotonic() < self._retry_at:
            return
        try:
            file = self._open()
            self._rewrite(file, now(), self._buffer.batches())
            self._buffer.clear()
            self._count_events(file)
        except _ERRORS as error:
            self._retry_delay = min(2 * self._retry_delay or self._first_retry, _MAX_RETRY_DELAY)
            self._retry_at = self._monotonic() + self._retry_delay
            self._fail(error)
            return
        self._has_dropped = False
        self._retry_delay = 0.0
        if self._logged_causes:
            log.info("journal recovered", extra={"path": self.path})
            self._logged_causes.clear()

    def is_open(self) -> bool:
        """Return whether the file is open and is still the one at its path."""
        return self._file is not None and self._file.is_current()

    def close(self) -> None:
        """Close the journal for good. Transitions that could not be written are counted and logged."""
        lost = sum(len(batch.transitions) for batch in self._buffer.batches())
        if lost:
            self.errors += lost
            log.error("journal closed while unavailable; transitions lost", extra={"transitions": lost})
        self._close_file()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def size(self) -> int:
        """Return the size on disk in bytes, including the write-ahead log."""
        return disk_size(self.path)

    def _open(self, lock_timeout: float = 0.0) -> JournalFile:
        self._acquire_lock(lock_timeout)
        try:
            file = self._file = JournalFile(self.path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_corrupt(error):
                raise
            self._replace_corrupt(error)
            file = self._file = JournalFile(self.path)
        repaired = damage.repair(file.database)
        self.errors += len(repaired)
        damage.report(repaired)
        return file

    def _count_events(self, file: JournalFile) -> None:
        with self.lock:
            (self.events,) = file.database.execute("SELECT count(*) FROM transitions").fetchone()

    def _acquire_lock(self, timeout: float) -> None:
        if self._lock is not None:
            if self._lock.is_current():
                return
            self._lock.close()
            self._lock = None
        self._lock = Lock(self.path, timeout)

    def _is_unreadable(self, error: Exception) -> bool:
        return isinstance(error, LockedError | NewerSchemaError) or is_corrupt(error)

    def _read_only_state(self) -> SavedState:
        """Return the state of a journal that cannot be written; an empty one if it cannot be read."""
        try:
            with open_read_only(self.path) as database:
                state = tables.read(database, [])
        except _ERRORS as error:
            log.debug("journal cannot be read", extra={"path": self.path, "error": error})
            return NOTHING
        return self._restored(state)

    def _restored(self, state: SavedState) -> SavedState:
        self._others = self._run_scope.outside(state)
        return state

    def _close_file(self) -> None:
        with self.maintenance_lock, self.lock:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError, sqlite3.Error):
                    file.close()

    def _discard(self, damaged: list[DamagedRow]) -> None:
        """Close the file, so that the tables are rewritten from memory without the damaged rows."""
        if damaged:
            self.errors += len(damaged)
            damage.report(damaged)
            self._close_file()

    def _count_lost(self, batch: ChangeBatch) -> None:
        """Count a batch that is missing in the history, and rewrite the counters from memory."""
        self.errors += max(1, len(batch.transitions))
        self._close_file()

    def _replace_corrupt(self, error: Exception) -> None:
        self.errors += 1
        self.events = 0
        renamed_to = rename_corrupt(self.path)
        log.error(
            "journal corrupt; renamed, starting a new one", extra={"renamed_to": renamed_to, "error": error}
        )

    def _fail(self, error: Exception) -> None:
        """Close the journal after an error; log it once per cause."""
        self.errors += 1
        self._close_file()
        if is_corrupt(error):
            try:
                self._replace_corrupt(error)
            except OSError as rename_error:
                error = rename_error
            else:
                return
        cause = str(error)
        if cause not in self._logged_causes:
            self._logged_causes.add(cause)
            advice = hint(self.path) if isinstance(error, OSError | sqlite3.Error) else ""
            log.error(
                "journal unavailable; buffering in memory, retrying",
                extra={"path": self.path, "error": cause + advice},
            )

    def _add_to_buffer(self, batch: ChangeBatch) -> None:
        dropped = self._buffer.add(batch)
        self.errors += dropped
        if dropped and not self._has_dropped:
            self._has_dropped = True
            log.error("journal buffer full; dropping the oldest transitions from the history")

    def _write(self, file: JournalFile, batch: ChangeBatch) -> list[TracedTransition]:
        """Write a batch; return its transitions with their spans."""

        def write(execute: Execute) -> list[TracedTransition]:
            traced = self._trace(file.database, batch)
            tables.append(file.database, batch, traced, execute)
            return traced

        traced = self._transact(file, write)
        self.events += len(batch.transitions)
        if traced:
            self.on_append()
        return traced

    def _trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        return self._span_recorder.trace(database, batch) if self._span_recorder is not None else []

    def _rewrite(self, file: JournalFile, state: SavedState, buffered: list[HistoryBatch]) -> None:
        """Append the buffered history, and replace all other tables with the current state."""

        def write(execute: Execute) -> bool:
            is_traced = False
            for batch in buffered:
                traced = self._trace(file.database, batch)
                tables.write_history(file.database, batch, traced, execute)
                is_traced = is_traced or bool(traced)
            tables.replace(file.database, state, self._run_scope, self._others, execute)
            return is_traced

        if self._transact(file, write):
            self.on_append()

    def _transact(self, file: JournalFile, write: Callable[[Execute], Result]) -> Result:
        """Write in one transaction. A row with a value that SQLite rejects is skipped, logged and counted."""
        with self.lock:
            result, errors = transact(file.database, write)
            if self._span_recorder is not None:
                self._span_recorder.committed()
        for error in errors:
            self.errors += 1
            self._threads.report(WORKER, error)
        return result
