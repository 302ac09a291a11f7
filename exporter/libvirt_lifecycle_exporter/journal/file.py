"""The journal's file: opened, locked, checked, and set aside when it is corrupt.

One process writes a journal. The lock is on a file beside it, so that it also holds while the journal
itself is replaced, and it ends with the process, however that ends.
"""

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from libvirt_lifecycle_exporter.journal.schema import migrate

_BUSY_MS = 500
_CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class TakenError(Exception):
    """Another process writes this journal."""


class File:
    """An open journal; raises OSError, sqlite3.Error, TakenError or schema.FutureError if it cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path.with_name(f"{path.name}.lock"))
        try:
            self.is_new = not path.exists() or path.stat().st_size == 0
            self.database = connect(path)
            try:
                migrate(self.database)
                self._inode = path.stat().st_ino
            except BaseException:
                self.database.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def is_itself(self) -> bool:
        """Tell whether the path still leads to what is open: somebody may have deleted or replaced it."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close it and let others have it."""
        try:
            self.database.close()
        finally:
            os.close(self._lock)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for one writer and many readers.

    Write-ahead log, synchronous=NORMAL: a commit reaches the kernel, not the disk, so that it survives the
    death of the process and costs no wait. Checkpoints wait for the disk; the keeper makes them.
    """
    database = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        database.close()
        raise
    return database


def is_corrupt(error: Exception) -> bool:
    """Tell whether an error means that the file's content is broken."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in _CORRUPT


def set_aside(path: Path) -> Path:
    """Rename a corrupt journal and its companions; return the new path. Raises OSError."""
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
    for companion in ("-wal", "-shm", ""):
        part = path.with_name(path.name + companion)
        if part.exists():
            part.rename(aside.with_name(aside.name + companion))
    return aside


def size_of(path: Path) -> int:
    """Return the bytes of a journal on disk, write-ahead log included."""
    total = 0
    for companion in ("", "-wal"):
        try:
            total += path.with_name(path.name + companion).stat().st_size
        except OSError:
            continue
    return total


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise TakenError(f"another process writes {path.name.removesuffix('.lock')}") from error
    return descriptor
