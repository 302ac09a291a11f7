"""A damaged row of any table loses only its own content: the exporter starts and counts the error."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.journal.export_items import LOGS, SIGNALS, TRACES, JournalReplacedError
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.history import History, Position
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.run_scope import RunScope
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import ConnectionUp
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.exporters import OtlpExporter
from libvirt_lifecycle_exporter.otel.resource import build_resources
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.factories import HERE, facts, lifecycle, listing
from tests.unit.worker_harness import RequestRecorder

TEXT, INTEGER, REAL = "TEXT", "INTEGER", "REAL"
DAMAGE: Final = {
    TEXT: ("NULL", "x'00ff'", "CAST(x'ff41' AS TEXT)"),
    INTEGER: ("NULL", "'text'", "x'00ff'", "9223372036854775807", "0.5"),
    REAL: ("NULL", "'text'", "9e999", "9223372036854775807", "CAST(x'ff41' AS TEXT)"),
}
JSON: Final = ("'no json'", "'[]'", "'{}'", "'[1,2,3]'", "'null'", "'[[[[]]]]'", "'[\"a\",2,{}]'")
JSON_COLUMNS: Final = {("domains", "details"), ("span_states", "state"), ("pending_spans", "span")}


class Exporter:
    """The worker, the journal, the export queue and the history reader, without their threads."""

    def __init__(self, path: Path) -> None:
        self.threads, self.message_queue, self.path = ThreadRegistry(), MessageQueue(1000), path
        self.tracing = SpanRecorder("host", traces=True, logs=True, runs=True, threads=self.threads)
        names = DomainFilter(".*", "")
        self.journal = Journal(path, RunScope((HERE,), names), self.tracing, self.threads)
        self.sink = MetricsStore((HERE,))
        self.worker = Worker(
            self.message_queue,
            self.sink,
            self.journal,
            {HERE: RequestRecorder()},
            names,
            series=SeriesLimit(10_000, 900),
            series_ttl=900,
            threads=self.threads,
        )
        self.worker.restore(self.journal.restore())

    def feed(self, *messages: Any) -> None:
        for message in messages:
            self.message_queue.put(message)
        while self.worker.process_batch():
            pass
        self.worker.tick()

    def run_scenario(self) -> None:
        """Start and crash two domains; the rows of the second one may be damaged."""
        now = time.time()
        self.feed(
            ConnectionUp(now, HERE),
            listing(facts("web", "shutoff", "crashed"), facts("bad", "shutoff", "crashed")),
        )
        for name in ("web", "bad"):
            self.feed(lifecycle("started", "booted", name=name, at=now))
            self.feed(lifecycle("suspended", "paused", name=name, at=now))
            self.feed(lifecycle("stopped", "crashed", name=name, at=now))

    def crash_count(self, name: str = "web") -> float | None:
        return value(self.sink, EVENTS, domain=name, event="stopped", reason="crashed")

    def deliver(self) -> dict[str, int]:
        """Export and remove all queued items; return the number of delivered items per signal."""
        queue = ExportQueue(self.journal, self.tracing, self.threads)
        encoder = Encoder(build_resources({HERE: HERE}, "host"), span_events=True)
        sent = {}
        queue.expire_operations(time.time())
        for signal in SIGNALS:
            exporter = OtlpExporter(signal, encoder, AcceptingTransport())
            items = queue.read(signal, 0, 1000)
            whole = [item for item in items if item.is_complete]
            statuses = [exporter.export([item]).status for item in whole]
            sent[signal] = statuses.count(ExportStatus.DELIVERED)
            queue.statistics(signal)
            queue.last_positions(signal)
            queue.remove(signal, [item.position for item in items])
            assert queue.statistics(signal)[0] == 0
        return sent

    def maintain(self) -> None:
        JournalMaintenance(self.journal, max_age=1e6, max_bytes=0, signals=SIGNALS).run_once(time.time())

    def read_history(self) -> int:
        history = History(self.path)
        history.connections()
        history.incidents(Selection(), only_open=False)
        return len(history.page(Selection(), Position("", 0)).entries)


class AcceptingTransport:
    def send(self, _payload: bytes) -> ExportResult:
        return ExportResult(ExportStatus.DELIVERED)

    def abort(self) -> None:
        """No request is in progress."""

    def close(self) -> None:
        """No connection is open."""


def _columns() -> Iterator[tuple[str, str, str]]:
    """Yield every column of every table with each kind of damage."""
    with closing(sqlite3.connect(":memory:")) as database:
        from libvirt_lifecycle_exporter.journal.schema import migrate  # noqa: PLC0415 - at collection only

        migrate(database)
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, not_null, _, key in database.execute(f"PRAGMA table_info({table})"):
                if (kind == INTEGER and key) or (table, column) == ("sqlite_sequence", "name"):
                    continue  # SQLite accepts only integers as row ids, and repairs its own table
                damage = DAMAGE.get(kind, DAMAGE[INTEGER])
                more = JSON if (table, column) in JSON_COLUMNS else ()
                for one in (*damage, *more):
                    if one == "NULL" and (key or not not_null):
                        continue
                    yield table, column, one


def damage(path: Path, table: str, column: str, what: str) -> int:
    """Damage one row, even where the schema forbids the value; return the number of changed rows."""
    where = {
        "identity": "1",
        "sqlite_sequence": "name = 'transitions'",
        "connection_coverage": "1",
        "scopes": "1",
        "hosts": "1",
        "clock": "1",
        "connection_counters": "kind = 'event' AND label_1 = 'stopped'",
        "pending_logs": "1",
        "dead_letters": "1",
        "domain_counters": "domain = 'bad' AND event = 'stopped'",
    }.get(table, "rowid = (SELECT max(rowid) FROM transitions)" if table == "transitions" else "")
    if not where:
        where = f"{'domain' if table == 'aggregated_domains' else 'uuid'} LIKE '%bad'"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (schema,) = database.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = ?", (table,)
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        changed = database.execute(f"UPDATE OR IGNORE {table} SET {column} = {what} WHERE {where}").rowcount
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (schema, table))
    return changed


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a journal with rows in every table."""
    path = tmp_path_factory.mktemp("template") / "journal.sqlite"
    exporter = Exporter(path)
    exporter.run_scenario()
    exporter.feed(lifecycle("started", "booted", name="bad", at=time.time()))
    exporter.journal.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("INSERT OR IGNORE INTO aggregated_domains VALUES (?, 'bad')", (HERE,))
        database.execute("INSERT OR IGNORE INTO scopes VALUES (?, '.*', '')", (HERE,))
        database.execute("INSERT INTO hosts VALUES (?, 'boot', 0.0)", (HERE,))
        database.execute("INSERT INTO clock VALUES ('boot', 1.0, 1.0, 1.0)")
        database.execute("INSERT INTO dead_letters VALUES ('logs', 1, 0.0, 'rejected', '', '[]')")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for table in (
            "transitions",
            "domain_counters",
            "connection_counters",
            "domains",
            "incidents",
            "span_states",
            "pending_spans",
        ):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table
    return path


@pytest.mark.parametrize(("table", "column", "what"), list(_columns()))
def test_damaged_row_loses_only_its_own_content(  # noqa: PLR0917 - fixtures
    table: str, column: str, what: str, template: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(template.read_bytes())
    changed = damage(path, table, column, what)
    assert changed, f"there is no row in {table}"
    exporter = Exporter(path)
    try:
        before = exporter.crash_count()
        assert before == 1 or table == "domain_counters"
        exporter.run_scenario()
        assert exporter.crash_count() == (before or 0) + 1
        assert exporter.sink.render(openmetrics=False)
        assert exporter.sink.render(openmetrics=True)
        exporter.maintain()
        _deliver(exporter)
        assert exporter.read_history() >= 6
        assert exporter.message_queue.dropped["worker_error"] == 0
        assert not list(path.parent.glob("*.corrupt-*"))
        assert exporter.journal.errors <= 2
        assert sum(exporter.threads.errors.values()) <= 20
        tracebacks = [record for record in caplog.records if record.exc_info]
        assert len(tracebacks) <= 2
    finally:
        exporter.journal.close()
    after = Exporter(path)
    try:
        assert after.crash_count() == exporter.crash_count()
        assert after.journal.errors == 0
        assert math.isfinite(after.crash_count() or 0)
    finally:
        after.journal.close()


def _deliver(exporter: Exporter) -> None:
    try:
        sent = exporter.deliver()
    except JournalReplacedError:
        sent = exporter.deliver()
    assert sent[LOGS] >= 6
    assert sent[TRACES] >= 2
