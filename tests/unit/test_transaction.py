"""A transaction writes every valid row once, with many rows per statement, and skips the others."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.journal.transaction import Execute, execute_many, transact

INSERT = "INSERT INTO numbers (number, square) VALUES (?, ?)"
UPSERT = "INSERT INTO totals VALUES (?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total"


def open_database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(
        "CREATE TABLE numbers (number INTEGER NOT NULL, square INTEGER);"
        "CREATE TABLE totals (name TEXT PRIMARY KEY, total INTEGER);"
    )
    return database


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(open_database()) as opened:
        yield opened


def row(number: object) -> tuple[object, object]:
    return number, number * number if isinstance(number, int) else 0


@given(st.integers(0, 300))
def test_every_row_is_inserted_once_and_in_order(count: int) -> None:
    with closing(open_database()) as database:
        execute_many(database, INSERT, range(count), row)
        assert database.execute("SELECT * FROM numbers ORDER BY rowid").fetchall() == [
            (number, number * number) for number in range(count)
        ]


def test_rows_with_the_same_key_are_added_up(database: sqlite3.Connection) -> None:
    execute_many(database, UPSERT, range(200), lambda number: (f"name-{number % 3}", 1))
    assert dict(database.execute("SELECT * FROM totals").fetchall()) == {
        "name-0": 67,
        "name-1": 67,
        "name-2": 66,
    }


def test_many_rows_need_few_statements(database: sqlite3.Connection) -> None:
    statements: list[str] = []
    database.set_trace_callback(statements.append)
    execute_many(database, INSERT, range(200), row)
    assert len(statements) < 10


@pytest.mark.parametrize("columns", [1, 2, 16, 200])
def test_wide_rows_keep_the_limit_of_parameters(database: sqlite3.Connection, columns: int) -> None:
    names = [f"c{number}" for number in range(columns)]
    database.execute(f"CREATE TABLE wide ({', '.join(names)})")
    insert = f"INSERT INTO wide VALUES ({', '.join('?' * columns)})"
    execute_many(database, insert, range(100), lambda number: (number,) * columns)
    assert database.execute("SELECT count(*), sum(c0) FROM wide").fetchone() == (100, 4950)


@pytest.mark.parametrize("place", [0, 70, 149])
def test_row_with_an_invalid_value_is_skipped(database: sqlite3.Connection, place: int) -> None:
    items: list[object] = [None if number == place else number for number in range(150)]

    def write(execute: Execute) -> None:
        execute(database, INSERT, items, row)

    _, errors = transact(database, write)
    assert [type(error) for error in errors] == [sqlite3.IntegrityError]
    found = [number for (number,) in database.execute("SELECT number FROM numbers ORDER BY rowid")]
    assert found == [number for number in items if number is not None]
