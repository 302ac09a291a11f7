"""One transaction; a value that can never be written costs its own row, not the batch.

A transaction is first written with ``executemany``. If that fails because of a value, the transaction is
rolled back and written again, row by row, without the rows that cannot be written.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_VALUE_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)

Put = Callable[[sqlite3.Connection, str, Iterable[Any], Callable[[Any], Sequence[Any]]], None]
"""Executes a statement for each item: database, statement, items, what turns an item into parameters."""


def put_all(
    database: sqlite3.Connection,
    statement: str,
    items: Iterable[Any],
    values: Callable[[Any], Sequence[Any]],
) -> None:
    """Execute a statement for all items at once."""
    database.executemany(statement, map(values, items))


class PutEach:
    """Executes a statement for one item after the other, and leaves out the items that cannot be written."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __call__(
        self,
        database: sqlite3.Connection,
        statement: str,
        items: Iterable[Any],
        values: Callable[[Any], Sequence[Any]],
    ) -> None:
        """Execute it; ``errors`` tells which items were left out."""
        for item in items:
            try:
                database.execute(statement, values(item))
            except Exception as error:
                if not is_about_a_value(error):
                    raise
                self.errors.append(error)


def is_about_a_value(error: Exception) -> bool:
    """Return whether an exception means that a value cannot be written, however often that is tried."""
    return isinstance(error, _VALUE_ERRORS) or not isinstance(error, sqlite3.Error | OSError)


def transact(database: sqlite3.Connection, write: Callable[[Put], Result]) -> tuple[Result, list[Exception]]:
    """Call ``write`` in one transaction; return its result, and why rows were left out.

    ``write`` may be called twice. Raises sqlite3.Error or OSError where the file cannot be written.
    """
    try:
        with _transaction(database):
            return write(put_all), []
    except Exception as error:
        if not is_about_a_value(error) or isinstance(error, UnicodeDecodeError):
            raise
    each = PutEach()
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
            log.debug("the journal could not be rolled back; it is opened anew")
