"""The journal's file: opened, locked, checked, and set aside when it is corrupt.

One process writes a journal. The lock is on a file beside it, so that it also holds while the journal
itself is replaced, and it ends with the process, however that ends.
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
from libvirt_lifecycle_exporter.journal.schema import VERSION, FutureError, add_views, migrate

_BUSY_MS = 500
_HEADER = slice(60, 64)
"""Where the version stands in a file, https://www.sqlite.org/fileformat.html#user_version_number"""
_MAGIC = b"SQLite format 3\x00"
_LOCK_AGAIN = 0.05
"""Seconds between attempts to have the lock."""
_CORRUPT = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR"})
"""The last is SQLite's answer to a statement that does not fit the tables; ours do, if these are ours."""


class TakenError(Exception):
    """Another process writes this journal."""


class Lock:
    """One process's right to write a journal, held until it is let go or the process ends."""

    def __init__(
        self, path: Path, patience: float = 0.0, flock: Callable[[int, int], None] = fcntl.flock
    ) -> None:
        """Wait up to ``patience`` seconds for whoever has it. Raises TakenError, OSError."""
        self._flock = flock
        self._path = path.with_name(f"{path.name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        # For reading: a file system can be made read-only while the lock is held, to be repaired.
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience
        while not self._take():
            if time.monotonic() >= deadline:
                self.close()
                raise TakenError(f"another process writes {path.name}")
            time.sleep(_LOCK_AGAIN)

    def is_itself(self) -> bool:
        """Tell whether others would meet this lock: somebody may have deleted its file."""
        return _inode(self._path) == os.fstat(self._descriptor).st_ino

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)

    def _take(self) -> bool:
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
        """Open the lock file again: NFS emulates flock by fcntl, whose exclusive lock needs write access.

        https://man7.org/linux/man-pages/man2/flock.2.html#NOTES
        """
        writable = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(self._descriptor)
        self._descriptor = writable


class File:
    """An open journal; raises OSError, sqlite3.Error or schema.FutureError if it cannot be had."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not path.exists() or path.stat().st_size == 0
        _refuse_future(path)
        # Names, titles and the emulators' last words are nobody else's business.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        self.database = connect(path)
        try:
            migrate(self.database)
            self._inodes = self._find()
        except BaseException:
            self.database.close()
            raise

    def is_itself(self) -> bool:
        """Tell whether the path still leads to what is open: somebody may have deleted or replaced it."""
        return self._find() == self._inodes

    def close(self) -> None:
        """Close it. If its path leads to another file by now, that one must not find our write-ahead log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        lost = _inode(self.path) != self._inodes[0] and _inode(log) == self._inodes[1] != 0
        if lost:
            with suppress(sqlite3.Error):
                self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.database.close()
        if lost and _inode(log) == self._inodes[1]:
            log.rename(_free(self.path, "replaced", "-wal")) if log.stat().st_size else log.unlink()

    def _find(self) -> tuple[int, int]:
        """Name the file and its write-ahead log, which holds what is newest."""
        return _inode(self.path), _inode(self.path.with_name(f"{self.path.name}-wal"))


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _refuse_future(path: Path) -> None:
    """Raise FutureError before SQLite has touched the file."""
    try:
        with path.open("rb") as file:
            version = int.from_bytes(file.read(_HEADER.stop)[_HEADER], signed=True)
            file.seek(0)
            known = file.read(len(_MAGIC)) == _MAGIC
    except FileNotFoundError:
        return
    if known and version > VERSION:
        raise FutureError(version)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal that cannot be written: its file system is read-only or full. Raises sqlite3.Error."""
    ways = ["mode=ro", "mode=rw&exclusive"]
    wal = path.with_name(f"{path.name}-wal")
    if not wal.exists() or wal.stat().st_size == 0:
        # All of it is in the file; otherwise this would be to forget what is newest.
        ways.append("mode=ro&immutable=1")
    errors: list[Exception] = []
    for way in ways:
        try:
            database = _open_for_reading(path, way)
        except sqlite3.Error as error:
            errors.append(error)
            continue
        with closing(database):
            yield database
        return
    raise errors[0]


def _open_for_reading(path: Path, way: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"file:{quote(str(path))}?{way}", uri=True, timeout=_BUSY_MS / 1000, isolation_level=None
    )
    try:
        if "exclusive" in way:
            # Needs no shared memory, for which a full disk has no room.
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

    Write-ahead log, synchronous=NORMAL: a commit reaches the kernel, not the disk, so that it survives the
    death of the process and costs no wait. Checkpoints wait for the disk; the keeper makes them.
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
    """Tell whether an error means that the file's content is broken."""
    if isinstance(error, UnicodeDecodeError):
        # SQLite quotes what it cannot read, and the binding cannot read that.
        return True
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") in _CORRUPT


def set_aside(path: Path) -> Path:
    """Rename a corrupt journal and its companions; return the new path. Raises OSError."""
    aside = _free(path, "corrupt")
    for companion in ("-wal", "-shm", ""):
        part = path.with_name(path.name + companion)
        if part.exists():
            part.rename(aside.with_name(aside.name + companion))
    return aside


def _free(path: Path, fate: str, companion: str = "") -> Path:
    """Return a path that nothing has yet, for what is never deleted."""
    stem = f"{path.name}.{fate}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(free for free in (path.with_name(name + companion) for name in names) if not free.exists())


def size_of(path: Path) -> int:
    """Return the bytes of a journal on disk, write-ahead log included."""
    total = 0
    for companion in ("", "-wal"):
        try:
            total += path.with_name(path.name + companion).stat().st_size
        except OSError:
            continue
    return total
