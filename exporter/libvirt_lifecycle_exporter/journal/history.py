"""Reading the journal, also while the exporter writes it.

Law: nothing is created, locked against the writer or changed, and nobody is held up: each question opens the
file anew, is answered from one moment of it, and lets go of it. So the file may be replaced between two
questions; whoever asks on is told by ``Place.file``.
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

from libvirt_lifecycle_exporter.engine.incidents import Incident
from libvirt_lifecycle_exporter.journal.damage import (
    INCIDENT_KINDS,
    TRANSITION_KINDS,
    problem_of,
    text_or_bytes,
)
from libvirt_lifecycle_exporter.journal.history_query import Passes, Selection, spelled
from libvirt_lifecycle_exporter.journal.rows import INCIDENT, TRANSITION, Entry, entry_from, incident_from
from libvirt_lifecycle_exporter.journal.schema import RENAMED_IN, VERSION

_OLDEST: Final = 1  # the version from which on the history is as it is now
PAGE: Final = 1000
"""Most entries of one answer: the writer's log cannot be emptied while a question is open."""

_PATIENCE = 1.0
"""Seconds in which a writer that ends has removed its files, or one that recovers has recovered."""
_LOOK_AGAIN = 0.02

_WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NOTADB": "it is no SQLite file",
        "CORRUPT": "it is damaged; the exporter sets a damaged one aside and begins anew",
        "CANTOPEN": "this user may not open it or one of its companions -wal and -shm",
        "READONLY": "it was left unfinished, and this user may not finish it; ask as the exporter's user",
        "BUSY": "it is busy; try again",
    }
)
"""SQLite's error, without prefix and extension -> what it means here."""

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

Answer = TypeVar("Answer")


class UnreadableError(OSError):
    """The journal cannot be read; the text says why in one sentence."""


class MissingError(UnreadableError):
    """There is none."""


class NewerError(UnreadableError):
    """A newer release wrote it."""


class Place(NamedTuple):
    """How far somebody has read."""

    file: str
    """The journal's identity: in another one, sequence numbers begin anew."""
    seq: int


class Span(NamedTuple):
    """Where the answer to a question lies."""

    start: Place
    """Before its first entry."""
    last: int


class Page(NamedTuple):
    """One part of an answer, oldest first."""

    entries: list[Entry]
    seen: Place
    """Everything up to here has been looked at."""


class History:
    """Answers questions. All of them raise UnreadableError where the journal cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def connections(self) -> list[str]:
        """Name the connections that the journal knows."""

        def question(database: sqlite3.Connection) -> list[str]:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            tables = _CONNECTION_TABLES if version >= RENAMED_IN else _OLD_CONNECTION_TABLES
            query = " UNION ".join(f"SELECT connection FROM {table}" for table in tables)  # noqa: S608 - own names
            return sorted(row[0] for row in database.execute(query) if isinstance(row[0], str))

        return self._ask(question, [], None)

    def span(self, selection: Selection, limit: int | None = None) -> Span:
        """Tell where all that fits lies now, or the newest ``limit`` of it."""

        def question(database: sqlite3.Connection) -> Span:
            file, last = _whereabouts(database)
            first = _first(database, selection, limit)
            return Span(Place(file, last if first is None else first - 1), last)

        return self._ask(question, Span(Place("", 0), 0), selection.passes)

    def page(self, selection: Selection, after: Place, last: int | None = None) -> Page:
        """Return what fits after a place, ``PAGE`` entries at the most; all of it if this is another file."""

        def question(database: sqlite3.Connection) -> Page:
            file, newest = _whereabouts(database)
            begin = after.seq if after.file == file else 0
            end = newest if last is None else min(last, newest)
            where, values = spelled(selection, f"seq > {begin}", f"seq <= {end}")
            rows = database.execute(f"{_SELECT_ENTRIES} {where} ORDER BY seq LIMIT {PAGE}", values).fetchall()
            seen = rows[-1][0] if len(rows) == PAGE else max(begin, end)
            sound = [row for row in rows if not problem_of(row, _ENTRY_KINDS)]
            return Page([entry_from(row) for row in sound], Place(file, seen))

        return self._ask(question, Page([], Place("", 0)), selection.passes)

    def incidents(self, selection: Selection, *, only_open: bool) -> list[Incident]:
        """Return the incidents that fit, in the order of opening; ``since``: open at some time since."""
        conditions = ["closed_at IS NULL"] if only_open else []
        if selection.since is not None:
            conditions.append(f"(closed_at IS NULL OR closed_at >= {selection.since!r})")
        if selection.until is not None:
            conditions.append(f"opened_at < {selection.until!r}")

        def question(database: sqlite3.Connection) -> list[Incident]:
            where, values = spelled(selection._replace(since=None, until=None), *conditions)
            rows = database.execute(f"{_SELECT_INCIDENTS} {where} ORDER BY opened_at, id", values)
            return [incident_from(row) for row in rows if not problem_of(row, INCIDENT_KINDS)]

        return self._ask(question, [], selection.passes)

    def _ask(
        self, question: Callable[[sqlite3.Connection], Answer], nothing: Answer, passes: Passes | None
    ) -> Answer:
        """Ask in one transaction; ``nothing`` is the answer of a journal that has only just been created."""
        quiet = self._is_quiet()
        called = _Called(passes)
        try:
            with closing(self._open(quiet=quiet)) as database:
                database.create_function("passes", 1, called, deterministic=True)
                database.execute("BEGIN")
                answer = question(database) if self._is_begun(database) else nothing
        except sqlite3.Error as error:
            if called.raised is not None:
                raise called.raised from None
            if not quiet or self._is_quiet():
                raise self._sentence(error) from error
        else:
            if not quiet or self._is_quiet():
                return answer
        # A writer came while the file was read as one that nobody writes.
        return self._ask(question, nothing, passes)

    def _open(self, *, quiet: bool) -> sqlite3.Connection:
        # Even mode=ro creates -wal and -shm where they are missing, and then whoever reads owns what the
        # exporter has to write: https://sqlite.org/wal.html#read_only_databases. immutable=1 creates nothing.
        mode = "mode=ro&immutable=1" if quiet else "mode=ro"
        database = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{mode}", uri=True, timeout=_PATIENCE, isolation_level=None
        )
        database.text_factory = text_or_bytes
        return database

    def _is_quiet(self) -> bool:
        """Tell whether the file itself holds everything; else a writer's log is to be read, too."""
        self._require(self.path)
        log, index = (self.path.with_name(f"{self.path.name}{companion}") for companion in ("-wal", "-shm"))
        deadline = time.monotonic() + _PATIENCE
        while _size(log):
            if index.exists():
                self._require(log)
                self._require(index)
                return False
            if time.monotonic() > deadline:
                raise UnreadableError(
                    f"the journal {self.path} cannot be read without changing it: {log.name} is there and "
                    f"{index.name} is not; copy that, too, or start the exporter on it once"
                )
            # A writer that ends removes the index first.
            time.sleep(_LOOK_AGAIN)
        return True

    def _require(self, path: Path) -> None:
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(f"there is no journal at {self.path}") from None
        except PermissionError:
            raise UnreadableError(
                f"this user may not look for the journal in {path.parent}; ask as the exporter's user"
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(f"{path} is no file, so it is no journal")
        if not os.access(path, os.R_OK):
            raise UnreadableError(f"this user may not read {path}; ask as its owner, {_owner(path, found)}")

    def _is_begun(self, database: sqlite3.Connection) -> bool:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if not tables and not version:
            return False
        if "transitions" not in tables:
            raise UnreadableError(f"{self.path} is an SQLite file, but no journal of this exporter")
        if version > VERSION:
            raise NewerError(
                f"a newer release wrote the journal {self.path} (version {version}, this one knows {VERSION})"
            )
        if version < _OLDEST:
            raise UnreadableError(
                f"an older release wrote the journal {self.path}; start the exporter on it once"
            )
        return True

    def _sentence(self, error: sqlite3.Error) -> UnreadableError:
        kind = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").partition("_")[0]
        return UnreadableError(f"the journal {self.path} cannot be read: {_WHY.get(kind, error)}")


class _Called:
    """What SQLite calls for each name; it swallows what is raised there, also an interrupt by the user."""

    def __init__(self, passes: Passes | None) -> None:
        self._passes = passes
        self.raised: BaseException | None = None

    def __call__(self, name: object) -> bool:
        """Return whether a name is asked for; a damaged one (bytes) is not."""
        try:
            return self._passes is None or (isinstance(name, str) and self._passes(name))
        except BaseException as error:
            self.raised = error
            raise


def _whereabouts(database: sqlite3.Connection) -> tuple[str, int]:
    """Return the journal's identity, and the newest sequence number."""
    row = database.execute("SELECT (SELECT id FROM identity), coalesce(max(seq), 0) FROM transitions")
    file, newest = row.fetchone()
    return str(file), int(newest)


def _first(database: sqlite3.Connection, selection: Selection, limit: int | None) -> int | None:
    """Return the sequence number from which on there is what fits; None if there is nothing."""
    first: int | None = 0
    if selection.since is not None:
        query = "SELECT min(seq) FROM transitions WHERE at >= ?"
        (first,) = database.execute(query, (selection.since,)).fetchone()
    if first is not None and limit is not None:
        where, values = spelled(selection, f"seq >= {first}")
        newest = f"SELECT seq FROM transitions {where} ORDER BY seq DESC LIMIT {limit}"  # noqa: S608
        (first,) = database.execute(f"SELECT min(seq) FROM ({newest})", values).fetchone()  # noqa: S608
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
