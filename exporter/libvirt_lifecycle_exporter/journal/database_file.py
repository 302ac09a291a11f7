"""The file of the journal: locking, opening, detecting corruption, renaming a corrupt file.

Invariant: one process writes to a journal. The lock is on a separate file, so that it is also held while the
journal is replaced. The kernel releases it when the process ends.
"""

import errno
import fcntl
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from libvirt_lifecycle_exporter.journal.damage import text_or_bytes
from libvirt_lifecycle_exporter.journal.schema import VERSION, NewerSchemaError, add_views, migrate

_BUSY_MS = 500
_HEADER = slice(60, 64)
"""Bytes of the user version in the header, https://www.sqlite.org/fileformat.html#user_version_number"""
_MAGIC = b"SQLite format 3\x00"
_LOCK_INTERVAL = 0.05
"""Seconds between two attempts to lock."""
_CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR"})
"""SQLITE_ERROR: a statement does not match the tables, so they are not the exporter's own."""


class LockedError(Exception):
    """Another process holds the lock of this journal."""


class Lock:
    """Exclusive lock of a journal, held until ``close`` or the end of the process."""

    def __init__(
        self, path: Path, timeout: float = 0.0, flock: Callable[[int, int], None] = fcntl.flock
    ) -> None:
        """Wait up to ``timeout`` seconds for the lock. Raises LockedError, OSError."""
        self._flock = flock
        self._path = path.with_name(f"{path.name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        # For reading: a descriptor open for writing would prevent remounting the file system read-only.
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout
        while not self._try_lock():
            if time.monotonic() >= deadline:
                self.close()
                raise LockedError(f"another process has locked {path.name}")
            time.sleep(_LOCK_INTERVAL)

    def is_current(self) -> bool:
        """Return whether the lock file is still the one at its path; it may have been deleted."""
        return _inode(self._path) == os.fstat(self._descriptor).st_ino

    def close(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)

    def _try_lock(self) -> bool:
        try:
            try:
                self._flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != errno.EBADF:
                    raise
                self._open_for_writing()
                self._flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            raise
        return True

    def _open_for_writing(self) -> None:
        """Reopen the lock file for writing: NFS emulates flock with fcntl, which needs write access.

        https://man7.org/linux/man-pages/man2/flock.2.html#NOTES
        """
        writable = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(self._descriptor)
        self._descriptor = writable


class JournalFile:
    """An open journal. Raises OSError, sqlite3.Error or NewerSchemaError if it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists() or path.stat().st_size == 0
        _check_version(path)
        # Not readable for others: names, titles and emulator logs may be confidential.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        self.database = connect(path)
        try:
            migrate(self.database)
            self._inodes = self._current_inodes()
        except BaseException:
            self.database.close()
            raise

    def is_current(self) -> bool:
        """Return whether the open file is still the one at its path; it may have been deleted or replaced."""
        return self._current_inodes() == self._inodes

    def close(self) -> None:
        """Close the file. If another file is at its path, that file must not get this write-ahead log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        lost = _inode(self.path) != self._inodes[0] and _inode(log) == self._inodes[1] != 0
        if lost:
            with suppress(sqlite3.Error):
                self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.database.close()
        if lost and _inode(log) == self._inodes[1]:
            log.rename(_unused_path(self.path, "replaced", "-wal")) if log.stat().st_size else log.unlink()

    def _current_inodes(self) -> tuple[int, int]:
        """Return the inodes of the file and of its write-ahead log."""
        return _inode(self.path), _inode(self.path.with_name(f"{self.path.name}-wal"))


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _check_version(path: Path) -> None:
    """Raise NewerSchemaError before SQLite opens the file."""
    try:
        with path.open("rb") as file:
            version = int.from_bytes(file.read(_HEADER.stop)[_HEADER], signed=True)
            file.seek(0)
            known = file.read(len(_MAGIC)) == _MAGIC
    except FileNotFoundError:
        return
    if known and version > VERSION:
        raise NewerSchemaError(version)


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal whose file system is read-only or full. Raises sqlite3.Error."""
    modes = ["mode=ro", "mode=rw&exclusive"]
    wal = path.with_name(f"{path.name}-wal")
    if not wal.exists() or wal.stat().st_size == 0:
        # The file is complete. Otherwise immutable=1 would ignore the commits in the write-ahead log.
        modes.append("mode=ro&immutable=1")
    errors: list[Exception] = []
    for mode in modes:
        try:
            database = _open_mode(path, mode)
        except sqlite3.Error as error:
            errors.append(error)
            continue
        with closing(database):
            yield database
        return
    raise errors[0]


def _open_mode(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}", uri=True, timeout=_BUSY_MS / 1000, isolation_level=None
    )
    try:
        if "exclusive" in mode:
            # This mode needs no -shm file, which cannot be created on a full disk.
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.text_factory = text_or_bytes
        add_views(database)
        # Opening succeeds for any file; a query shows whether it is a readable journal.
        database.execute("SELECT count(*) FROM connection_coverage").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for one writer and many readers.

    Write-ahead log with synchronous=NORMAL: a commit reaches the kernel, not the disk. It survives the death
    of the process and does not wait for the disk. Checkpoints do; the maintenance thread runs them.
    """
    database = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        database.text_factory = text_or_bytes
    except BaseException:
        database.close()
        raise
    return database


def is_corrupt(error: Exception) -> bool:
    """Return whether an error means that the content of the file is corrupt."""
    if isinstance(error, UnicodeDecodeError):
        # The message of SQLite's error quotes text that is not UTF-8.
        return True
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in _CORRUPT


def rename_corrupt(path: Path) -> Path:
    """Rename a corrupt journal with its -wal and -shm files; return the new path. Raises OSError."""
    aside = _unused_path(path, "corrupt")
    for companion in ("-wal", "-shm", ""):
        part = path.with_name(path.name + companion)
        if part.exists():
            part.rename(aside.with_name(aside.name + companion))
    return aside


def _unused_path(path: Path, reason: str, companion: str = "") -> Path:
    """Return an unused path for a file that is renamed because of ``reason``."""
    stem = f"{path.name}.{reason}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(free for free in (path.with_name(name + companion) for name in names) if not free.exists())


def disk_size(path: Path) -> int:
    """Return the size of a journal on disk in bytes, including the write-ahead log."""
    total = 0
    for companion in ("", "-wal"):
        try:
            total += path.with_name(path.name + companion).stat().st_size
        except OSError:
            continue
    return total
