"""Reader of an exporter's journal that uses SQLite only."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.lab.pairs import Pair

CLASSIFIED = ("io_error",)
"""Events whose detail is free text of libvirt: their raw reason is the exporter's classification."""

INFERRED = ("hung", "recovered")
"""Events that libvirt does not send."""


class Row(NamedTuple):
    seq: int
    at: float
    connection: str
    event: str
    reason: str
    detail: str
    source: str
    message: str
    incident_id: str

    @property
    def raw(self) -> Pair:
        """The pair as libvirt sent it."""
        return self.event, self.reason if self.event in CLASSIFIED else self.detail


class Incident(NamedTuple):
    id: str
    kind: str
    cause: str
    opened_at: float
    closed_at: float | None


class JournalReader:
    """Reads the file, read-only, while the exporter writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, domain: str, connection: str | None = None) -> list[Row]:
        found = self._query(
            f"SELECT {', '.join(Row._fields)} FROM transitions WHERE name = ? ORDER BY seq", domain
        )
        return [row for row in map(Row._make, found) if connection in (None, row.connection)]

    def incidents(self, domain: str) -> list[Incident]:
        found = self._query(
            f"SELECT {', '.join(Incident._fields)} FROM incidents WHERE name = ? ORDER BY opened_at", domain
        )
        return [Incident._make(row) for row in found]

    def process_start(self, domain: str) -> int:
        """Return the start time of the emulator of the current run; 0 if it is unknown."""
        found = self._query("SELECT process_start FROM domains WHERE name = ?", domain)
        return sum(int(str(start)) for (start,) in found)

    def sent(self, domain: str, connection: str | None = None) -> Counter[Pair]:
        """Return the raw pairs that callbacks reported, without those that the exporter infers."""
        rows = self.rows(domain, connection)
        return Counter(row.raw for row in rows if row.source == "callback" and row.event not in INFERRED)

    def counted(self, domain: str, connection: str | None = None) -> Counter[Pair]:
        """Return the diagnosed pairs of all rows."""
        return Counter((row.event, row.reason) for row in self.rows(domain, connection))

    def _query(self, query: str, *values: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(query, values).fetchall()
