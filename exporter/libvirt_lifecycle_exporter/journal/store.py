"""Append, restore, heal.

Invariant: ``append`` returns after the batch is committed, or its history is buffered and an error counted;
it raises nothing. When the journal can be written again, the buffered history is appended, and counters and
states are written as they are now: Prometheus has seen those.
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
from libvirt_lifecycle_exporter.journal.damage import Damaged
from libvirt_lifecycle_exporter.journal.database_file import (
    File,
    Lock,
    TakenError,
    is_corrupt,
    reading,
    set_aside,
    size_of,
)
from libvirt_lifecycle_exporter.journal.filesystem import hint
from libvirt_lifecycle_exporter.journal.run_scope import EVERYTHING, RunScope
from libvirt_lifecycle_exporter.journal.schema import FutureError
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.transaction import Put, Result, transact
from libvirt_lifecycle_exporter.runtime.threads import WORKER, ThreadRegistry

log = logging.getLogger(__name__)

FIRST_RETRY = 1.0
_LONGEST_RETRY = 15.0
"""Seconds between two attempts to open a journal that cannot be used: doubled each time."""

_PATIENCE = 2.0
"""Seconds that a predecessor gets to end, before this begins to count in memory."""

_ERRORS = (OSError, sqlite3.Error, UnicodeDecodeError, TakenError, FutureError)


class Journal:
    """One journal file; used by the worker's thread alone, but for the figures."""

    def __init__(
        self,
        path: Path,
        extent: RunScope = EVERYTHING,
        tracing: SpanRecorder | None = None,
        threads: ThreadRegistry | None = None,
        *,
        max_buffer_bytes: int = MAX_BYTES,
        first_retry: float = FIRST_RETRY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``extent``: what this run answers for; ``tracing``: says what is to be delivered, if anything.

        ``first_retry``: seconds; 0: every ``tend`` is an attempt. ``monotonic``: seconds.
        """
        self.path = path
        self._threads = threads or ThreadRegistry()
        self._extent = extent
        self._others = NOTHING
        """What else it remembers, which goes into a new file too."""
        self._tracing = tracing
        self.on_append: Callable[[], None] = lambda: None
        """Called when something new is to be delivered; may not block."""
        self.errors = 0
        """Failed attempts to write, and transitions and incidents that were dropped from the buffer."""
        self.events = 0
        """Transitions in the history."""
        self.disabled_dropped: Counter[str] = Counter()
        """Rows pending for a signal that is disabled, removed by retention; by signal."""
        self._lock: Lock | None = None
        """Held for good, whatever ails the file: nobody else is to write it meanwhile."""
        self._file: File | None = None
        self._buffer = HistoryBuffer(max_buffer_bytes)
        self._has_dropped = False
        """Whether the buffer was full since the journal was last written."""
        self._first_retry = first_retry
        self._retry_delay = 0.0
        self._retry_at = float("-inf")
        """When the next attempt to open the file is due, in the time of ``monotonic``."""
        self._monotonic = monotonic
        self._complaints: set[str] = set()
        """Causes that were logged since the journal was last written."""
        self.lock = threading.Lock()
        """Held while the file is written or closed; the keeper respects it."""
        self.keeping = threading.Lock()
        """Held while the keeper has the file open: it is not closed meanwhile."""
        self.suspicion: sqlite3.Error | None = None
        """What the keeper found to be corrupt."""
        self.damaged: list[Damaged] = []
        """Rows that the keeper found to be damaged."""

    def restore(self) -> SavedState:
        """Open the journal and return what it remembers; nothing, and a log line, where it cannot be read."""
        try:
            file = self._open(patience=_PATIENCE)
            damaged: list[Damaged] = []
            state = tables.read(file.database, damaged)
            self._count_events(file)
        except _ERRORS as error:
            self._ail(error)
            if is_corrupt(error):
                self.tend(lambda: NOTHING)
            return NOTHING if self._is_not_ours(error) else self._peek()
        memory = self._restored(state)
        self._discard(damaged)
        return memory

    def append(self, batch: ChangeBatch) -> None:
        """Commit a batch."""
        if self._file is not None:
            try:
                batch.traced = self._write(self._file, batch)
            except _ERRORS as error:
                self._ail(error)
            except Exception as error:  # noqa: BLE001 - reported; the counters are written from memory later
                self._threads.report(WORKER, error)
                self._lose(batch)
                return
            else:
                return
        self._keep(batch)

    def tend(self, now: Callable[[], SavedState]) -> None:
        """Recover if need be. ``now`` returns the counters and states as they are."""
        suspicion, self.suspicion = self.suspicion, None
        if self._file is not None and suspicion is not None:
            self._ail(suspicion)
        damaged, self.damaged = self.damaged, []
        if self._file is not None:
            self._discard(damaged)
        if self._file is not None and not self._file.is_itself():
            self._ail(OSError("it was deleted or replaced while it was written"))
        if self._file is not None or self._monotonic() < self._retry_at:
            return
        try:
            file = self._open()
            self._rewrite(file, now(), self._buffer.batches())
            self._buffer.clear()
            self._count_events(file)
        except _ERRORS as error:
            self._retry_delay = min(2 * self._retry_delay or self._first_retry, _LONGEST_RETRY)
            self._retry_at = self._monotonic() + self._retry_delay
            self._ail(error)
            return
        self._has_dropped = False
        self._retry_delay = 0.0
        if self._complaints:
            log.info("the journal is well again")
            self._complaints.clear()

    def holds(self) -> bool:
        """Tell whether the file is open, and still the one at its path."""
        return self._file is not None and self._file.is_itself()

    def close(self) -> None:
        """Close it, for good. What could not be written is counted and logged."""
        lost = sum(len(batch.transitions) for batch in self._buffer.batches())
        if lost:
            self.errors += lost
            log.error("stopped before the journal could be written: %d transitions are lost", lost)
        self._close_file()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def size(self) -> int:
        """Return its bytes on disk, write-ahead log included."""
        return size_of(self.path)

    def _open(self, patience: float = 0.0) -> File:
        self._have_lock(patience)
        try:
            file = self._file = File(self.path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_corrupt(error):
                raise
            self._begin_anew(error)
            file = self._file = File(self.path)
        repaired = damage.repair(file.database)
        self.errors += len(repaired)
        damage.report(repaired)
        return file

    def _count_events(self, file: File) -> None:
        with self.lock:
            (self.events,) = file.database.execute("SELECT count(*) FROM transitions").fetchone()

    def _have_lock(self, patience: float) -> None:
        if self._lock is not None:
            if self._lock.is_itself():
                return
            self._lock.close()
            self._lock = None
        self._lock = Lock(self.path, patience)

    def _is_not_ours(self, error: Exception) -> bool:
        return isinstance(error, TakenError | FutureError) or is_corrupt(error)

    def _peek(self) -> SavedState:
        """Return what a journal remembers that cannot be written now."""
        try:
            with reading(self.path) as database:
                state = tables.read(database, [])
        except _ERRORS as error:
            log.debug("the journal cannot be read either: %s", error)
            return NOTHING
        return self._restored(state)

    def _restored(self, state: SavedState) -> SavedState:
        self._others = self._extent.beyond(state)
        return state

    def _close_file(self) -> None:
        with self.keeping, self.lock:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError, sqlite3.Error):
                    file.close()

    def _discard(self, damaged: list[Damaged]) -> None:
        """Have the tables written anew from memory, without the damaged rows."""
        if damaged:
            self.errors += len(damaged)
            damage.report(damaged)
            self._close_file()

    def _lose(self, batch: ChangeBatch) -> None:
        """Count a batch that is missing in the history; its counters are written from memory."""
        self.errors += max(1, len(batch.transitions))
        self._close_file()

    def _begin_anew(self, error: Exception) -> None:
        self.errors += 1
        self.events = 0
        log.error(
            "the journal was corrupt (%s); it is now %s, and a new one begins", error, set_aside(self.path)
        )

    def _ail(self, error: Exception) -> None:
        """Note that it cannot be used, once for each cause; whatever is open is closed."""
        self.errors += 1
        self._close_file()
        if is_corrupt(error):
            try:
                self._begin_anew(error)
            except OSError as worse:
                error = worse
            else:
                return
        cause = str(error)
        if cause not in self._complaints:
            self._complaints.add(cause)
            log.error(
                "the journal %s cannot be used: %s; counting goes on in memory, and it is tried again",
                self.path,
                cause + hint(self.path) if isinstance(error, OSError | sqlite3.Error) else cause,
            )

    def _keep(self, batch: ChangeBatch) -> None:
        dropped = self._buffer.add(batch)
        self.errors += dropped
        if dropped and not self._has_dropped:
            self._has_dropped = True
            log.error("journal buffer is full; the oldest transitions are dropped from the history")

    def _write(self, file: File, batch: ChangeBatch) -> list[TracedTransition]:
        """Write a batch; return on which spans the transitions are."""

        def write(put: Put) -> list[TracedTransition]:
            traced = self._trace(file.database, batch)
            tables.append(file.database, batch, traced, put)
            return traced

        traced = self._transact(file, write)
        self.events += len(batch.transitions)
        if traced:
            self.on_append()
        return traced

    def _trace(
        self, database: sqlite3.Connection, batch: ChangeBatch | HistoryBatch
    ) -> list[TracedTransition]:
        return self._tracing.trace(database, batch) if self._tracing is not None else []

    def _rewrite(self, file: File, state: SavedState, buffered: list[HistoryBatch]) -> None:
        """Append the buffered history, and write everything else as it is now."""

        def write(put: Put) -> bool:
            is_traced = False
            for batch in buffered:
                traced = self._trace(file.database, batch)
                tables.write_history(file.database, batch, traced, put)
                is_traced = is_traced or bool(traced)
            tables.replace(file.database, state, self._extent, self._others, put)
            return is_traced

        if self._transact(file, write):
            self.on_append()

    def _transact(self, file: File, write: Callable[[Put], Result]) -> Result:
        """Write in one transaction; a value that can never be written is left out, logged and counted."""
        with self.lock:
            result, errors = transact(file.database, write)
        for error in errors:
            self.errors += 1
            self._threads.report(WORKER, error)
        return result
