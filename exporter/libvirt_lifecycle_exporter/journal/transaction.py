"""Transactions that skip a row with a value that SQLite rejects, instead of losing the whole batch.

A transaction is first written with many rows per statement. If that fails because of a value, the transaction
is rolled back and written again, row by row, without the rows that cannot be written.
"""

import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_VALUE_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)

Execute = Callable[[sqlite3.Connection, str, Iterable[Any], Callable[[Any], Sequence[Any]]], None]
"""Executes a statement for each item. Arguments: database, statement, items, and a function that returns the
parameters for an item."""


_VALUES = re.compile(r"VALUES (\(\?(?:, \?)*\))")
"""The parameters of one row."""
_ROWS = (64, 8)
"""Numbers of rows that one statement inserts."""
_MAX_PARAMETERS = 999
"""SQLite's default limit before 3.32."""


def execute_many(
    database: sqlite3.Connection,
    statement: str,
    items: Iterable[Any],
    values: Callable[[Any], Sequence[Any]],
) -> None:
    """Execute a statement for all items; an INSERT inserts many rows at once.

    sqlite3 releases the interpreter lock for each statement. With one statement for each row, another busy
    thread takes it each time.
    """
    rows = [*map(values, items)]
    start = 0
    if len(rows) >= _ROWS[-1] and _VALUES.search(statement):
        for wanted in _ROWS:
            size = min(wanted, _MAX_PARAMETERS // len(rows[0]))
            while len(rows) - start >= size:
                parameters = [*chain.from_iterable(rows[start : start + size])]
                database.execute(_for_rows(statement, size), parameters)
                start += size
    database.executemany(statement, rows[start:])


@cache
def _for_rows(statement: str, number: int) -> str:
    """Return an INSERT statement for this number of rows."""
    return _VALUES.sub(lambda match: "VALUES " + ", ".join([match[1]] * number), statement, count=1)


class RowWriter:
    """Executes a statement for one item after the other, and skips items that SQLite rejects."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __call__(
        self,
        database: sqlite3.Connection,
        statement: str,
        items: Iterable[Any],
        values: Callable[[Any], Sequence[Any]],
    ) -> None:
        """Execute the statement; the errors of skipped items are added to ``errors``."""
        for item in items:
            try:
                database.execute(statement, values(item))
            except Exception as error:
                if not is_value_error(error):
                    raise
                self.errors.append(error)


def is_value_error(error: Exception) -> bool:
    """Return whether an exception is caused by a value, so that a retry would fail again."""
    return isinstance(error, _VALUE_ERRORS) or not isinstance(error, sqlite3.Error | OSError)


def transact(
    database: sqlite3.Connection, write: Callable[[Execute], Result]
) -> tuple[Result, list[Exception]]:
    """Call ``write`` in one transaction; return its result and the errors of skipped rows.

    ``write`` may be called twice. Raises sqlite3.Error or OSError if the file cannot be written.
    """
    try:
        with _transaction(database):
            return write(execute_many), []
    except Exception as error:
        if not is_value_error(error) or isinstance(error, UnicodeDecodeError):
            raise
    each = RowWriter()
    with _transaction(database):
        return write(each), each.errors


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        _roll_back(database)
        raise


def _roll_back(database: sqlite3.Connection) -> None:
    if database.in_transaction:
        try:
            database.execute("ROLLBACK")
        except sqlite3.Error:
            log.debug("journal rollback failed; reopening")
