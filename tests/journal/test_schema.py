"""Migration of journals that older releases wrote."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import HostRecord, SavedState
from libvirt_lifecycle_exporter.journal import tables
from libvirt_lifecycle_exporter.journal.damage import DamagedRow
from libvirt_lifecycle_exporter.journal.database_file import connect, open_read_only
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.history import History
from libvirt_lifecycle_exporter.journal.history_query import Selection, to_sql
from libvirt_lifecycle_exporter.journal.schema import VERSION
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.domain_filter import Scope
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE
from libvirt_lifecycle_exporter.runtime.clock import ClockRecord
from tests.journal.simulated_exporter import SimulatedExporter
from tests.journal.values import counters, history, set_aside_files
from tests.journal.writer import Writer
from tests.unit.factories import facts, listing

VERSION_1 = "version-1.sql"
"""Dump of a journal that the first release wrote: a crash with its incident, and a definition."""
VERSION_4 = "version-4.sql"
"""Dump of a journal that the release before schema version 5 wrote: two domains, one of them shutting down;
nothing has been exported yet. ``folded``, ``hosts``, ``clock`` and ``set_aside`` were filled by hand."""
HERE = "qemu:///system"
COUNTERS_OF_VERSION_4 = {
    (HERE, "db", "incident", "io_error"): 1,
    (HERE, "db", "resumed", "unpaused"): 1,
    (HERE, "db", "shutdown", "guest"): 1,
    (HERE, "db", "started", "booted"): 1,
    (HERE, "db", "suspended", "ioerror"): 1,
    (HERE, "web", "incident", "crashed"): 1,
    (HERE, "web", "started", "booted"): 2,
    (HERE, "web", "stopped", "crashed"): 1,
    (HERE, "web", "suspended", "paused"): 1,
}
WEB, DB = "0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab", "5f0b8c52-92b9-4d0b-8a4c-ba9876543210"


def create_from_dump(path: Path, script: str) -> None:
    """Create a journal from a dump beside this file."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.executescript((Path(__file__).parent / script).read_text())


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_version_1_is_migrated_and_keeps_its_content(path: Path) -> None:
    create_from_dump(path, VERSION_1)
    writer = Writer(path)
    assert (version(path), set_aside_files(path), writer.journal.errors) == (VERSION, [], 0)
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
    assert writer.restored.observed_until == {"qemu:///system": 1_700_000_002.0}
    writer.append()
    assert [entry.seq for entry in history(path)] == [1, 2, 3]
    assert writer.restores_everything()


def test_migrated_file_is_not_changed_again(path: Path) -> None:
    create_from_dump(path, VERSION_1)
    Writer(path).journal.close()
    before = path.read_bytes()
    writer = Writer(path)
    writer.journal.close()
    assert path.read_bytes() == before


def test_new_and_migrated_files_have_the_same_schema(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.sqlite"
    create_from_dump(path, VERSION_1)
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


def test_first_listing_after_version_1_adopts_unknown_domains(tmp_path: Path) -> None:
    """Version 1 does not record the filter."""
    create_from_dump(tmp_path / "journal-0.db", VERSION_1)
    with SimulatedExporter(tmp_path) as exporter:
        web, db = facts("web-1", uuid=WEB), facts("db", "shutoff", "unknown", uuid=DB)
        exporter.connect_and_list(listing(web, db, facts("elsewhere")))
        assert exporter.inferred() == [("web-1", "started", "booted")]
        assert exporter.known_domains() == {"web-1", "db", "elsewhere"}


def test_version_3_has_no_evidence_of_runs_after_migration(path: Path) -> None:
    """Version 3 records neither the boot id of the host nor the evidence of runs."""
    create_from_dump(path, VERSION_4)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "ALTER TABLE domains DROP COLUMN process_start; ALTER TABLE domains DROP COLUMN cpu_time;"
            "DROP TABLE hosts; DROP TABLE clock; PRAGMA user_version = 3;"
            "DELETE FROM domains; DELETE FROM folded; DELETE FROM scopes;"
            "INSERT INTO domains VALUES ('qemu:///system', 'u', 'web', 'running', 'booted', 1.0,"
            " 1, 1, 1, 0, NULL, 1, 0.0, 'run');"
        )
    writer = Writer(path)
    assert (version(path), set_aside_files(path), writer.journal.errors) == (VERSION, [], 0)
    assert [(domain.name, domain.run_evidence) for domain in writer.restored.domains] == [
        ("web", NO_EVIDENCE)
    ]
    assert writer.restored.hosts == {}
    assert writer.restores_everything()


def check_state_of_version_4(state: SavedState) -> None:
    assert counters(state) == COUNTERS_OF_VERSION_4
    assert state.counts[HERE, "web", "started", "booted"] == (2, 1_700_000_007.0)
    assert state.totals[HERE, "event", "started", "booted"] == 3
    assert state.totals[HERE, "operation", "outage/success", "sum"] == 4.0
    assert {(domain.name, domain.state) for domain in state.domains} == {
        ("web", "running"),
        ("db", "shutdown"),
    }
    assert state.observed_until == {HERE: 1_700_000_009.0}
    assert state.aggregated == {(HERE, "spare")}
    assert state.scopes == {HERE: Scope(".*", "")}
    assert state.hosts == {HERE: HostRecord("boot-1", 0.0)}
    assert state.clock == ClockRecord("boot-1", 1000.0, 1000.0, 3600.0)


def test_version_4_is_migrated_and_its_counters_continue(path: Path) -> None:
    create_from_dump(path, VERSION_4)
    writer = Writer(path)
    assert (version(path), set_aside_files(path), writer.journal.errors) == (VERSION, [], 0)
    check_state_of_version_4(writer.restored)
    writer.append(3)
    assert [entry.seq for entry in history(path)] == [*range(1, 12)]
    state = writer.restart()
    assert counters(state) == COUNTERS_OF_VERSION_4 | {(HERE, "web-1", "started", "booted"): 3}
    assert state.totals[HERE, "event", "started", "booted"] == 6


def test_export_queue_of_version_4_is_delivered_after_migration(path: Path) -> None:
    create_from_dump(path, VERSION_4)
    recorder = SpanRecorder("host", traces=True, logs=True, runs=True)
    journal = Journal(path, span_recorder=recorder)
    journal.restore()
    queue = ExportQueue(journal, recorder)
    assert [item.rows[0].number for item in queue.read(LOGS, 0, 100)] == [*range(1, 9)]
    spans = queue.read(TRACES, 0, 100)
    assert [item.position for item in spans] == [*range(1, 9)]
    assert all(item.is_complete for item in spans)
    assert queue.expire_operations(time.time()) == 1
    (timeout,) = queue.read(TRACES, 8, 100)
    assert timeout.position == 9
    assert timeout.span is not None
    assert (timeout.span.name, timeout.span.outcome) == ("shut down domain", "timeout")
    with closing(sqlite3.connect(path)) as database:
        letters = database.execute("SELECT signal, position, cause, error FROM dead_letters").fetchall()
    assert letters == [("logs", 1, "rejected", "bad name")]
    journal.close()


def test_version_4_is_read_without_write_access(path: Path) -> None:
    create_from_dump(path, VERSION_4)
    before = path.read_bytes()
    with open_read_only(path) as database:
        damaged: list[DamagedRow] = []
        check_state_of_version_4(tables.read(database, damaged))
    assert damaged == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("script", ["version-1.sql", "version-4.sql"])
def test_connections_are_listed_without_migration(script: str, path: Path) -> None:
    create_from_dump(path, script)
    before = version(path)
    assert History(path).connections() == [HERE]
    assert version(path) == before


def test_history_is_read_without_migration(path: Path) -> None:
    """The exporter may not have started since the upgrade."""
    create_from_dump(path, VERSION_1)
    history_reader = History(path)
    span = history_reader.entry_range(Selection())
    page = history_reader.page(Selection(), span.start, span.last)
    assert [entry.transition.name for entry in page.entries] == ["web-1", "db"]
    assert [incident.name for incident in history_reader.incidents(Selection(), only_open=True)] == ["web-1"]
    assert version(path) == 1


@pytest.mark.parametrize("incident_id", ["3bbba48ba11c9047", "3bbba48b"])
def test_events_of_an_incident_are_found_by_index(incident_id: str, path: Path) -> None:
    create_from_dump(path, VERSION_1)
    Writer(path).journal.close()
    selection = Selection(incident=incident_id)
    where, values = to_sql(selection, "seq > 0")
    with closing(connect(path)) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN SELECT * FROM transitions {where} ORDER BY seq", values)
        assert "USING INDEX transitions_incident_id" in plan.fetchall()[0][3]
    found = History(path)
    span = found.entry_range(selection)
    entries = found.page(selection, span.start, span.last).entries
    assert [entry.transition.name for entry in entries] == ["web-1"]
