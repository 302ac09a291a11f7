"""A journal with a history that the test defines, for tests that read journals."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.journal.values import batch

HERE = "qemu:///system"
NOON = 1_700_000_000.0
"""Unix time, seconds: 2023-11-14T22:13:20Z, 23:13:20 in Prague."""


def change(
    name: str = "web", event: str = "started", reason: str = "booted", at: float = NOON, **rest: str
) -> Transition:
    fields = {"connection": HERE, "detail": reason, "source": "callback"} | rest
    return Transition(
        at=at,
        uuid=f"uuid-{name}",
        name=name,
        domain_id=1,
        event=event,
        reason=reason,
        detail_code=0,
        **fields,
    )


def append(journal: Journal, changes: Iterable[Transition]) -> None:
    journal.append(batch(changes))


class JournalFixture:
    """Write a journal as the exporter does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Journal(path)
        self.store.restore()

    def write(self, *changes: Transition) -> None:
        append(self.store, changes)

    def reopen(self) -> None:
        """Close the journal and open the file that is at the path now, as a restarted exporter does."""
        self.store.close()
        self.store = Journal(self.path)
        self.store.restore()

    def add_incident(
        self,
        name: str,
        kind: str,
        opened_at: float,
        closed_at: float | None = None,
        *,
        connection: str = HERE,
        cause: str = "stopped/crashed",
    ) -> None:
        row = (f"{name}0123456789", connection, f"uuid-{name}", name, kind, cause, opened_at, closed_at)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(
                "INSERT INTO incidents (id, connection, uuid, name, kind, cause, opened_at, closed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
