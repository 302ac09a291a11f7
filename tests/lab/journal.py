"""What an exporter wrote into its journal, read with SQLite alone."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.lab.pairs import Pair

NAMED_OTHERWISE = ("io_error",)
"""Events whose own word in libvirt is free text: there the reason is libvirt's classification."""

CONCLUDED = ("hung", "recovered")
"""Events that libvirt has no word for."""


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
        return self.event, self.reason if self.event in NAMED_OTHERWISE else self.detail


class Incident(NamedTuple):
    id: str
    kind: str
    cause: str
    opened_at: float
    closed_at: float | None


class JournalFile:
    """Read-only, while the exporter writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, domain: str, connection: str | None = None) -> list[Row]:
        found = self._ask(
            f"SELECT {', '.join(Row._fields)} FROM transitions WHERE name = ? ORDER BY seq", domain
        )
        return [row for row in map(Row._make, found) if connection in (None, row.connection)]

    def incidents(self, domain: str) -> list[Incident]:
        found = self._ask(
            f"SELECT {', '.join(Incident._fields)} FROM incidents WHERE name = ? ORDER BY opened_at", domain
        )
        return [Incident._make(row) for row in found]

    def process_start(self, domain: str) -> int:
        """When the emulator of the current run started; 0 if it is not known."""
        found = self._ask("SELECT process_start FROM domains WHERE name = ?", domain)
        return sum(int(str(start)) for (start,) in found)

    def sent(self, domain: str, connection: str | None = None) -> Counter[Pair]:
        """libvirt's own pairs of the callbacks; what the exporter concludes from one is not of them."""
        rows = self.rows(domain, connection)
        return Counter(row.raw for row in rows if row.source == "callback" and row.event not in CONCLUDED)

    def counted(self, domain: str, connection: str | None = None) -> Counter[Pair]:
        """The diagnosed pairs of everything."""
        return Counter((row.event, row.reason) for row in self.rows(domain, connection))

    def _ask(self, question: str, *values: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(question, values).fetchall()
