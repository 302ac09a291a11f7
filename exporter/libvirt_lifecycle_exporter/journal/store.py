"""Append, restore, heal.

Law: ``append`` returns after the batch is committed, or is kept in memory and counted as an error; it
raises nothing. Healing writes what was kept. A journal that could not be read at the start, or that was
lost on the way, is healed by writing the counters as they are now: Prometheus has seen those.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from libvirt_lifecycle_exporter.effects import NOTHING, Effects, Memory, Traced
from libvirt_lifecycle_exporter.journal import damage, tables
from libvirt_lifecycle_exporter.journal.damage import Damaged
from libvirt_lifecycle_exporter.journal.extent import EVERYTHING, Extent
from libvirt_lifecycle_exporter.journal.file import (
    File,
    Lock,
    TakenError,
    is_corrupt,
    reading,
    set_aside,
    size_of,
)
from libvirt_lifecycle_exporter.journal.schema import FutureError
from libvirt_lifecycle_exporter.journal.tracing import Tracing
from libvirt_lifecycle_exporter.journal.writing import Put, Result, transact
from libvirt_lifecycle_exporter.threads import WORKER, ThreadRegistry

log = logging.getLogger(__name__)

_KEEP = 100_000
"""Transitions kept in memory while the journal cannot be written; older ones are lost from the history
(not from the counters), and that is counted."""

_PATIENCE = 2.0
"""Seconds that a predecessor gets to end, before this begins to count in memory."""

_ERRORS = (OSError, sqlite3.Error, UnicodeDecodeError, TakenError, FutureError)


class Journal:
    """One journal file; used by the worker's thread alone, but for the figures."""

    def __init__(
        self,
        path: Path,
        extent: Extent = EVERYTHING,
        tracing: Tracing | None = None,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``extent``: what this run answers for; ``tracing``: says what is to be delivered, if anything."""
        self.path = path
        self._threads = threads or ThreadRegistry()
        self._extent = extent
        self._others = NOTHING
        """What else it remembers, which goes into a new file too."""
        self._tracing = tracing
        self.on_append: Callable[[], None] = lambda: None
        """Called when something new is to be delivered; may not block."""
        self.errors = 0
        """Failed attempts to write, and transitions that could not be kept."""
        self.events = 0
        """Transitions in the history."""
        self._lock: Lock | None = None
        """Held for good, whatever ails the file: nobody else is to write it meanwhile."""
        self._file: File | None = None
        self._in_step = False
        """Whether the file's counters plus what is kept are the counters that Prometheus has seen."""
        self._kept: list[Effects] = []
        self._kept_transitions = 0
        self._complaint = ""
        self.lock = threading.Lock()
        """Held while the file is written or closed; the keeper respects it."""
        self.keeping = threading.Lock()
        """Held while the keeper has the file open: it is not closed meanwhile."""
        self.suspicion: sqlite3.Error | None = None
        """What the keeper found to be corrupt."""
        self.damaged: list[Damaged] = []
        """Rows that the keeper found to be damaged."""

    def restore(self) -> Memory:
        """Open the journal and return what it remembers; nothing, and a log line, where it cannot be read."""
        try:
            file = self._open(patience=_PATIENCE)
            damaged: list[Damaged] = []
            state = tables.read(file.database, damaged)
        except _ERRORS as error:
            self._ail(error)
            if is_corrupt(error):
                self.tend(lambda: NOTHING)
            return NOTHING if self._is_not_ours(error) else self._peek()
        memory = self._restored(state)
        self._discard(damaged)
        return memory

    def append(self, batch: Effects) -> None:
        """Commit a batch."""
        if self._file is not None and not self._kept:
            try:
                batch.traced = self._write(self._file, [batch])
            except _ERRORS as error:
                self._ail(error)
            except Exception as error:  # noqa: BLE001 - reported; the counters are written from memory later
                self._threads.report(WORKER, error)
                self._lose(batch)
                return
            else:
                return
        self._keep(batch)

    def tend(self, now: Callable[[], Memory]) -> None:
        """Heal if need be. ``now`` tells the counters and states as they are, with what is kept in them."""
        suspicion, self.suspicion = self.suspicion, None
        if self._file is not None and suspicion is not None:
            self._ail(suspicion)
        damaged, self.damaged = self.damaged, []
        if self._file is not None:
            self._discard(damaged)
        if self._file is not None and not self._file.is_itself():
            self._ail(OSError("it was deleted or replaced while it was written"))
            self._in_step = False
        if self._file is not None and not self._kept:
            return
        try:
            file = self._file or self._open()
            if self._in_step:
                self._write(file, self._kept)
            else:
                self._rewrite(file, now(), self._kept)
        except _ERRORS as error:
            self._ail(error)
            return
        self._kept, self._kept_transitions, self._in_step = [], 0, True
        if self._complaint:
            log.info("the journal is well again")
            self._complaint = ""

    def holds(self) -> bool:
        """Tell whether the file is open, and still the one at its path."""
        return self._file is not None and self._file.is_itself()

    def close(self) -> None:
        """Close it, for good. What could not be written is counted and logged."""
        if self._kept_transitions:
            self.errors += self._kept_transitions
            log.error(
                "stopped before the journal could be written: %d transitions are lost", self._kept_transitions
            )
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
        if file.is_new:
            self._in_step = False
        repaired = damage.repair(file.database)
        self.errors += len(repaired)
        damage.report(repaired)
        (self.events,) = file.database.execute("SELECT count(*) FROM transitions").fetchone()
        return file

    def _have_lock(self, patience: float) -> None:
        if self._lock is not None:
            if self._lock.is_itself():
                return
            self._lock.close()
            self._lock, self._in_step = None, False
        try:
            self._lock = Lock(self.path, patience)
        except TakenError:
            self._in_step = False
            raise

    def _is_not_ours(self, error: Exception) -> bool:
        return isinstance(error, TakenError | FutureError) or is_corrupt(error)

    def _peek(self) -> Memory:
        """Return what a journal remembers that cannot be written now."""
        try:
            with reading(self.path) as database:
                state = tables.read(database, [])
        except _ERRORS as error:
            log.debug("the journal cannot be read either: %s", error)
            return NOTHING
        return self._restored(state)

    def _restored(self, state: Memory) -> Memory:
        self._in_step = True
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
            self._in_step = False

    def _lose(self, batch: Effects) -> None:
        """Count a batch that is missing in the history; its counters are written from memory."""
        self.errors += max(1, len(batch.transitions))
        self._close_file()
        self._in_step = False

    def _begin_anew(self, error: Exception) -> None:
        self.errors += 1
        self.events = 0
        self._in_step = False
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

    def _write(self, file: File, batches: Sequence[Effects]) -> list[Traced]:
        """Write batches; return on which spans the transitions are."""

        def write(put: Put) -> list[Traced]:
            traced: list[Traced] = []
            for batch in batches:
                placed = self._trace(file.database, batch)
                tables.append(file.database, batch, placed, put)
                traced += placed
            return traced

        traced = self._transact(file, write)
        self.events += sum(len(batch.transitions) for batch in batches)
        if traced:
            self.on_append()
        return traced

    def _trace(self, database: sqlite3.Connection, batch: Effects) -> list[Traced]:
        return self._tracing.trace(database, batch) if self._tracing is not None else []

    def _rewrite(self, file: File, state: Memory, kept: Sequence[Effects]) -> None:
        def write(put: Put) -> None:
            for batch in kept:
                tables.write_history(file.database, batch, self._trace(file.database, batch), put)
            tables.replace(file.database, state, self._extent, self._others, put)

        self._transact(file, write)
        self.events += sum(len(batch.transitions) for batch in kept)

    def _transact(self, file: File, write: Callable[[Put], Result]) -> Result:
        """Write in one transaction; a value that can never be written is left out, logged and counted."""
        with self.lock:
            result, errors = transact(file.database, write)
        for error in errors:
            self.errors += 1
            self._threads.report(WORKER, error)
        return result
