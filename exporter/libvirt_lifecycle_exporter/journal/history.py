"""Read access to the journal, also while the exporter writes to it.

Invariant: a query creates, locks and changes no file, and does not delay the writer. Each query opens the
file, reads it in one transaction and closes it. The file may be replaced between two queries: compare
``Position.journal_id``.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from libvirt_lifecycle_exporter.journal.damage import (
    INCIDENT_KINDS,
    TRANSITION_KINDS,
    describe_problem,
    text_or_bytes,
)
from libvirt_lifecycle_exporter.journal.history_query import NamePredicate, Selection, to_sql
from libvirt_lifecycle_exporter.journal.rows import INCIDENT, TRANSITION, Entry, entry_from, incident_from
from libvirt_lifecycle_exporter.journal.schema import RENAMED_IN, VERSION
from libvirt_lifecycle_exporter.model.transitions import Incident

_OLDEST_VERSION: Final = 1
"""Oldest schema version whose history can be read."""
PAGE_SIZE: Final = 1000
"""Maximum number of entries per query: the writer cannot truncate its write-ahead log during a query."""

_FILE_TIMEOUT = 1.0
"""Seconds to wait for a writer that is closing its files, or that is recovering the write-ahead log."""
_POLL_INTERVAL = 0.02
"""Seconds."""

_CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NOTADB": "not an SQLite file",
        "CORRUPT": "the file is damaged; the exporter renames a damaged file and creates a new one",
        "CANTOPEN": "permission denied for the file, its -wal or its -shm file",
        "READONLY": "it needs recovery, which needs write access: run this command as the exporter's user",
        "BUSY": "the file is locked; try again",
    }
)
"""SQLite's error name, without prefix and suffix -> its cause."""

_CONNECTION_TABLES: Final = (
    "connection_counters",
    "domain_counters",
    "connection_coverage",
    "domains",
    "incidents",
)
_OLD_CONNECTION_TABLES: Final = ("totals", "counts", "watches", "domains", "incidents")
"""The same tables before ``schema.RENAMED_IN``."""
_SELECT_ENTRIES: Final = f"SELECT seq, {', '.join(TRANSITION)} FROM transitions"  # noqa: S608 - as above
_SELECT_INCIDENTS: Final = f"SELECT {', '.join(INCIDENT)} FROM incidents"  # noqa: S608 - as above

_ENTRY_KINDS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType({"seq": (int,), **TRANSITION_KINDS})

Result = TypeVar("Result")


class UnreadableError(OSError):
    """The journal cannot be read; the message is one sentence."""


class MissingError(UnreadableError):
    """There is no journal."""


class NewerError(UnreadableError):
    """A newer release wrote the journal."""


class Position(NamedTuple):
    """A position in the history of one journal: everything up to ``seq`` was read."""

    journal_id: str
    """Identity of the journal; another journal numbers its entries from 1 again."""
    seq: int


class EntryRange(NamedTuple):
    """The part of the history that contains all entries of a selection."""

    start: Position
    """Position before the first entry."""
    last: int
    """Number of the last entry."""


class Page(NamedTuple):
    """Part of a result, oldest entry first."""

    entries: list[Entry]
    end: Position
    """Position of the last entry that was read, selected or not."""


class History:
    """Queries the journal. Every method raises UnreadableError if the journal cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def connections(self) -> list[str]:
        """Return the labels of all connections in the journal."""

        def query(database: sqlite3.Connection) -> list[str]:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            tables = _CONNECTION_TABLES if version >= RENAMED_IN else _OLD_CONNECTION_TABLES
            statement = " UNION ".join(f"SELECT connection FROM {table}" for table in tables)  # noqa: S608 - own names
            return sorted(row[0] for row in database.execute(statement) if isinstance(row[0], str))

        return self._query(query, [], None)

    def entry_range(self, selection: Selection, limit: int | None = None) -> EntryRange:
        """Return the range of the selected entries, or of the newest ``limit`` of them."""

        def query(database: sqlite3.Connection) -> EntryRange:
            journal_id, last = _identity_and_newest(database)
            first = _first(database, selection, limit)
            return EntryRange(Position(journal_id, last if first is None else first - 1), last)

        return self._query(query, EntryRange(Position("", 0), 0), selection.matches_name)

    def page(self, selection: Selection, after: Position, last: int | None = None) -> Page:
        """Return up to ``PAGE_SIZE`` selected entries after a position, up to number ``last``.

        If ``after`` is from another journal, reading starts at the first entry.
        """

        def query(database: sqlite3.Connection) -> Page:
            journal_id, newest = _identity_and_newest(database)
            begin = after.seq if after.journal_id == journal_id else 0
            end = newest if last is None else min(last, newest)
            where, values = to_sql(selection, f"seq > {begin}", f"seq <= {end}")
            rows = database.execute(
                f"{_SELECT_ENTRIES} {where} ORDER BY seq LIMIT {PAGE_SIZE}", values
            ).fetchall()
            end_seq = rows[-1][0] if len(rows) == PAGE_SIZE else max(begin, end)
            intact = [row for row in rows if not describe_problem(row, _ENTRY_KINDS)]
            return Page([entry_from(row) for row in intact], Position(journal_id, end_seq))

        return self._query(query, Page([], Position("", 0)), selection.matches_name)

    def incidents(self, selection: Selection, *, only_open: bool) -> list[Incident]:
        """Return the selected incidents by opening time. ``since``: those that were open at or after it."""
        conditions = ["closed_at IS NULL"] if only_open else []
        if selection.since is not None:
            conditions.append(f"(closed_at IS NULL OR closed_at >= {selection.since!r})")
        if selection.until is not None:
            conditions.append(f"opened_at < {selection.until!r}")

        def query(database: sqlite3.Connection) -> list[Incident]:
            where, values = to_sql(selection._replace(since=None, until=None), *conditions)
            rows = database.execute(f"{_SELECT_INCIDENTS} {where} ORDER BY opened_at, id", values)
            return [incident_from(row) for row in rows if not describe_problem(row, INCIDENT_KINDS)]

        return self._query(query, [], selection.matches_name)

    def _query(
        self,
        query: Callable[[sqlite3.Connection], Result],
        empty: Result,
        matches_name: NamePredicate | None,
    ) -> Result:
        """Run a query in one transaction; return ``empty`` for a journal that has no tables yet."""
        has_no_writer = self._has_no_writer()
        function = _NameFunction(matches_name)
        try:
            with closing(self._open(has_no_writer=has_no_writer)) as database:
                database.create_function("matches_name", 1, function, deterministic=True)
                database.execute("BEGIN")
                result = query(database) if self._has_tables(database) else empty
        except sqlite3.Error as error:
            if function.exception is not None:
                raise function.exception from None
            if not has_no_writer or self._has_no_writer():
                raise self._unreadable(error) from error
        else:
            if not has_no_writer or self._has_no_writer():
                return result
        # A writer opened the file while it was read without locks.
        return self._query(query, empty, matches_name)

    def _open(self, *, has_no_writer: bool) -> sqlite3.Connection:
        # mode=ro creates missing -wal and -shm files, owned by the reader: the exporter could not write them
        # (https://sqlite.org/wal.html#read_only_databases). immutable=1 creates no file.
        mode = "mode=ro&immutable=1" if has_no_writer else "mode=ro"
        database = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode}", uri=True, timeout=_FILE_TIMEOUT, isolation_level=None
        )
        database.text_factory = text_or_bytes
        return database

    def _has_no_writer(self) -> bool:
        """Return whether the file is complete, without a write-ahead log. Raises UnreadableError."""
        self._require(self.path)
        log, index = (self.path.with_name(f"{self.path.name}{companion}") for companion in ("-wal", "-shm"))
        deadline = time.monotonic() + _FILE_TIMEOUT
        while _size(log):
            if index.exists():
                self._require(log)
                self._require(index)
                return False
            if time.monotonic() > deadline:
                raise UnreadableError(
                    f"cannot read {self.path} without changing it: {log.name} exists, {index.name} is "
                    "missing; copy the missing file too, or start the exporter once with this journal"
                )
            # A writer that closes the journal removes the -shm file first.
            time.sleep(_POLL_INTERVAL)
        return True

    def _require(self, path: Path) -> None:
        """Raise UnreadableError if a file of the journal does not exist or cannot be read."""
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(f"no journal at {self.path}") from None
        except PermissionError:
            raise UnreadableError(
                f"permission denied for the directory {path.parent}: run this command as the exporter's user"
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(f"not a journal: {path} is not a regular file")
        if not os.access(path, os.R_OK):
            raise UnreadableError(
                f"permission denied for {path}: run this command as its owner, {_owner(path, found)}"
            )

    def _has_tables(self, database: sqlite3.Connection) -> bool:
        """Return whether the journal has its tables; False: it is just created. Raises UnreadableError."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if not tables and not version:
            return False
        if "transitions" not in tables:
            raise UnreadableError(f"not a journal: {self.path} is another SQLite database")
        if version > VERSION:
            raise NewerError(
                f"a newer release wrote {self.path} (schema version {version}, supported: {VERSION})"
            )
        if version < _OLDEST_VERSION:
            raise UnreadableError(
                f"an older release wrote {self.path}: start the exporter once with this journal"
            )
        return True

    def _unreadable(self, error: sqlite3.Error) -> UnreadableError:
        kind = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
        return UnreadableError(f"cannot read the journal {self.path}: {_CAUSES.get(kind, error)}")


class _NameFunction:
    """The SQL function ``matches_name``. It keeps its exception: SQLite discards even KeyboardInterrupt."""

    def __init__(self, matches_name: NamePredicate | None) -> None:
        self._matches_name = matches_name
        self.exception: BaseException | None = None

    def __call__(self, name: object) -> bool:
        """Return whether a name is selected; a damaged one (bytes) is not."""
        try:
            return self._matches_name is None or (isinstance(name, str) and self._matches_name(name))
        except BaseException as error:
            self.exception = error
            raise


def _identity_and_newest(database: sqlite3.Connection) -> tuple[str, int]:
    """Return the journal's identity and its newest sequence number."""
    row = database.execute("SELECT (SELECT id FROM identity), coalesce(max(seq), 0) FROM transitions")
    journal_id, newest = row.fetchone()
    return str(journal_id), int(newest)


def _first(database: sqlite3.Connection, selection: Selection, limit: int | None) -> int | None:
    """Return the number of the first selected entry, or a smaller one; None if no entry is selected."""
    first: int | None = 0
    if selection.since is not None:
        query = "SELECT min(seq) FROM transitions WHERE at >= ?"
        (first,) = database.execute(query, (selection.since,)).fetchone()
    if first is not None and limit is not None:
        where, values = to_sql(selection, f"seq >= {first}")
        newest = f"SELECT seq FROM transitions {where} ORDER BY seq DESC LIMIT {limit}"  # noqa: S608 - constant names; values are parameters
        (first,) = database.execute(f"SELECT min(seq) FROM ({newest})", values).fetchone()  # noqa: S608 - constant names; values are parameters
    return first


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _owner(path: Path, found: os.stat_result) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user {found.st_uid}"
