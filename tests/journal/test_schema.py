"""A journal of an older release: it is brought forward, and says the same as before."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.history import History
from libvirt_lifecycle_exporter.journal.history_query import Selection, spelled
from libvirt_lifecycle_exporter.journal.schema import VERSION
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE
from tests.journal.life import Life
from tests.journal.model import Writer
from tests.journal.values import asides, counters, history
from tests.unit.seen import facts, snapshot

FIRST = (Path(__file__).parent / "version-1.sql").read_text()
"""As the first version wrote it: a crash with its incident, and a definition."""
WEB, DB = "0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab", "5f0b8c52-92b9-4d0b-8a4c-ba9876543210"


def write_first(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_it_is_brought_forward_and_holds_what_it_held(path: Path) -> None:
    write_first(path)
    writer = Writer(path)
    assert (version(path), asides(path), writer.journal.errors) == (VERSION, [], 0)
    assert counters(writer.restored) == {
        ("qemu:///system", "db", "defined", "added"): 1,
        ("qemu:///system", "web-1", "incident", "crashed"): 1,
        ("qemu:///system", "web-1", "stopped", "crashed"): 1,
    }
    assert [(domain.name, domain.state) for domain in writer.restored.domains] == [
        ("web-1", "shutoff"),
        ("db", "shutoff"),
    ]
    assert [incident.id for incident in writer.restored.incidents] == ["3bbba48ba11c9047"]
    assert writer.restored.watched_until == {"qemu:///system": 1_700_000_002.0}
    writer.append()
    assert [entry.seq for entry in history(path)] == [1, 2, 3]
    assert writer.remembers_everything()


def test_it_is_brought_forward_once(path: Path) -> None:
    write_first(path)
    Writer(path).journal.close()
    before = path.read_bytes()
    writer = Writer(path)
    writer.journal.close()
    assert path.read_bytes() == before


def test_a_new_file_and_an_old_one_brought_forward_have_the_same_tables(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite"
    write_first(path)
    for one in (path, new):
        Writer(one).journal.close()
    schemas = []
    for one in (path, new):
        with closing(sqlite3.connect(one)) as database:
            rows = database.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
            )
            schemas.append(sorted(rows.fetchall()))
    assert schemas[0] == schemas[1]


def test_what_it_knew_is_compared_and_what_it_did_not_is_adopted(tmp_path: Path) -> None:
    """It does not say with which filter it was written."""
    write_first(tmp_path / "journal-0.db")
    with Life(tmp_path) as life:
        web, db = facts("web-1", uuid=WEB), facts("db", "shutoff", "unknown", uuid=DB)
        life.lists(snapshot(web, db, facts("elsewhere")))
        assert life.inferred() == [("web-1", "started", "booted")]
        assert life.known() == {"web-1", "db", "elsewhere"}


def test_journal_of_version_3_is_migrated_and_nothing_is_proven_by_it(path: Path) -> None:
    """It records neither the boot of the host nor what identifies a run."""
    Writer(path).journal.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "ALTER TABLE domains DROP COLUMN process_start; ALTER TABLE domains DROP COLUMN cpu_time;"
            "DROP TABLE hosts; DROP TABLE clock; PRAGMA user_version = 3;"
            "INSERT INTO domains VALUES ('qemu:///system', 'u', 'web', 'running', 'booted', 1.0,"
            " 1, 1, 1, 0, NULL, 1, 0.0, 'run');"
        )
    writer = Writer(path)
    assert (version(path), asides(path), writer.journal.errors) == (VERSION, [], 0)
    assert [(domain.name, domain.run_evidence) for domain in writer.restored.domains] == [
        ("web", NO_EVIDENCE)
    ]
    assert writer.restored.hosts == {}
    assert writer.remembers_everything()


def test_history_is_read_without_bringing_it_forward(path: Path) -> None:
    """The exporter may not have been started since the upgrade."""
    write_first(path)
    asked = History(path)
    span = asked.span(Selection())
    page = asked.page(Selection(), span.start, span.last)
    assert [entry.transition.name for entry in page.entries] == ["web-1", "db"]
    assert [incident.name for incident in asked.incidents(Selection(), only_open=True)] == ["web-1"]
    assert version(path) == 1


@pytest.mark.parametrize("asked", ["3bbba48ba11c9047", "3bbba48b"])
def test_what_belongs_to_an_incident_is_found_without_reading_all(asked: str, path: Path) -> None:
    write_first(path)
    Writer(path).journal.close()
    selection = Selection(incident=asked)
    where, values = spelled(selection, "seq > 0")
    with closing(connect(path)) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN SELECT * FROM transitions {where} ORDER BY seq", values)
        assert "USING INDEX transitions_incident_id" in plan.fetchall()[0][3]
    found = History(path)
    span = found.span(selection)
    entries = found.page(selection, span.start, span.last).entries
    assert [entry.transition.name for entry in entries] == ["web-1"]
