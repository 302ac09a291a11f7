"""A connection that is not configured for one life: its counters and its state stay as they are."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.database_file import Lock
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Listing
from tests.journal.life import Life, crashed
from tests.journal.values import asides
from tests.unit.exposition_reader import names, value
from tests.unit.seen import HERE, facts, lifecycle, snapshot

ONLY_WEB = DomainFilter("web.*")
WEB, DB = facts("web"), facts("db")
THERE = "qemu+ssh://there/system"


def of_there(found: DomainFacts) -> DomainFacts:
    return found._replace(uuid=f"there-{found.uuid}")


BOTH: tuple[Listing, Listing] = (snapshot(WEB), snapshot(of_there(DB), connection=THERE))


def loses_its_file(life: Life) -> None:
    for part in life.path.parent.glob(f"{life.path.name}*"):
        part.unlink()
    life.worker.tick()


def has_its_file_corrupted(life: Life) -> None:
    with life.path.open("r+b") as file:
        file.write(b"garbage " * 1000)
    for number in range(20):
        life.feed(lifecycle("defined", "updated", name=f"vm-{number}"))
        life.worker.tick()
    life.journal.corruption = sqlite3.DatabaseError("made up")
    life.journal.corruption.sqlite_errorname = "SQLITE_CORRUPT"
    life.worker.tick()
    assert asides(life.path)


@pytest.mark.parametrize("suffers", [loses_its_file, has_its_file_corrupted])
def test_absent_connection_keeps_its_counters(suffers: Callable[[Life], None], tmp_path: Path) -> None:
    with Life(tmp_path, connections=(HERE, THERE)) as life:
        life.lists(*BOTH)
        life.feed(crashed("db")._replace(connection=THERE, uuid="there-uuid-db"))
        before = life.memory().only([THERE])
        life.connections = (HERE,)
        life.is_killed()
        life.lists(BOTH[0])
        suffers(life)
        assert life.memory().only([THERE]) == before
        life.connections = (HERE, THERE)
        life.is_killed()
        assert life.crashes("db", THERE) == 1
        assert (
            value(life.sink, "libvirt_domain_incident_open", domain="db", kind="crashed", connection=THERE)
            == 1
        )
        life.lists(BOTH[0], snapshot(of_there(DB), connection=THERE))
        assert [told for told in life.inferred() if told[0] == "db"] == [("db", "started", "booted")]


def test_journal_locked_at_start_keeps_other_connections(
    tmp_path: Path,
) -> None:
    with Life(tmp_path, connections=(HERE, THERE)) as life:
        life.lists(*BOTH)
        life.feed(crashed("db")._replace(connection=THERE, uuid="there-uuid-db"))
        life.feed(crashed("web"), lifecycle("started", "booted"), crashed("web"))
        before = life.memory()
        life.connections, life.names = (HERE,), ONLY_WEB
        life.journal.close()
        other = Lock(life.path)
        life.ends()
        assert names(life.sink) == set()
        other.close()
        life.feed(crashed("web"))
        life.worker.tick()
        assert life.journal.is_open()
        assert life.memory().only([THERE]) == before.only([THERE])
        assert life.memory().counts[HERE, "web", "stopped", "crashed"][0] == 1
        totals = life.memory().only([HERE]).totals
        assert totals == {key: total for key, total in life.figures().totals.items() if total}
        assert totals[HERE, "event", "stopped", "crashed"] == 1
