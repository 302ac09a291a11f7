"""Comparison of a Collector's output with the journal."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.engine.span_operations import OPERATION_LIMIT
from tests.lab.collector import Collector, Event, Log, Span
from tests.lab.waiting import until

COLUMNS = "seq, at, connection, uuid, name, domain_id, event, reason, detail, detail_code, source, "
COLUMNS += (
    "CASE exported_without_message WHEN 1 THEN '' ELSE message END, run_id, incident_id, trace_id, span_id"
)


class JournalRow(NamedTuple):
    seq: int
    at: float
    connection: str
    uuid: str
    name: str
    domain_id: int
    event: str
    reason: str
    detail: str
    detail_code: int
    source: str
    message: str
    run_id: str
    incident_id: str
    trace_id: str
    span_id: str

    @property
    def attributes(self) -> dict[str, Any]:
        """Return the expected attributes."""
        found = {
            "libvirt.domain.name": self.name,
            "libvirt.domain.uuid": self.uuid,
            "libvirt.domain.id": self.domain_id,
            "libvirt.connection.uri": self.connection,
            "libvirt.domain.event.reason": self.reason,
            "libvirt.domain.event.detail": self.detail,
            "libvirt.domain.event.detail_code": self.detail_code,
            "libvirt.event.source": self.source,
            "libvirt.event.sequence": self.seq,
            "libvirt.domain.message": self.message,
            "libvirt.domain.run.id": self.run_id,
            "libvirt.incident.id": self.incident_id,
        }
        return {key: value for key, value in found.items() if value != ""}


def read_rows(path: Path) -> list[JournalRow]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        rows = database.execute(f"SELECT {COLUMNS} FROM transitions WHERE span_id <> '' ORDER BY seq")
        return [JournalRow(*row) for row in rows]


def pending(path: Path) -> tuple[int, int, int]:
    """Return the numbers of pending spans, pending log records and open operations."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        spans, logs, open_operations = database.execute(
            "SELECT (SELECT count(*) FROM pending_spans), (SELECT count(*) FROM pending_logs), "
            "(SELECT count(*) FROM span_states WHERE open_since IS NOT NULL)"
        ).fetchone()
    return spans, logs, open_operations


def wait_delivered(path: Path, timeout: float = 60.0) -> None:
    until(lambda: pending(path)[:2] == (0, 0), timeout, "delivery of all items")


def compare(collector: Collector, path: Path) -> tuple[list[Span], list[Log]]:
    """Assert that the Collector's files equal the journal; return spans and log records without repetitions.

    Each number occurs once with the journal's ids and attributes; links resolve; spans are bounded;
    repetitions are byte-identical.
    """
    rows = {row.seq: row for row in read_rows(path)}
    *_, open_operations = pending(path)
    last = max(rows)
    until(
        lambda: any(log.event.number == last for log in collector.records()),
        20,
        "the last item in the Collector's files",
    )
    if not open_operations:
        recorded = {row.span_id for row in rows.values()}
        until(
            lambda: recorded <= {span.span_id for span in collector.spans()},
            20,
            "all spans in the Collector's files",
        )
    spans, logs = _without_duplicates(collector.spans()), _without_duplicates(collector.records())
    assert sorted(log.event.number for log in logs) == sorted(rows)
    for log in logs:
        row = rows[log.event.number]
        assert (log.trace_id, log.span_id) == (row.trace_id, row.span_id)
        _compare_event(log.event, row)
    events = {event.number: (span, event) for span in spans for event in span.events}
    times = Counter(event.number for span in spans for event in span.events)
    assert set(times.values()) <= {1}
    missing = rows.keys() - times.keys()
    assert bool(missing) <= bool(open_operations), (
        f"{len(missing)} of {len(rows)} are on no span: {sorted(missing)[:9]}"
    )
    by_number = {log.event.number: log for log in logs}
    for number, (span, event) in events.items():
        row = rows[number]
        assert (span.trace_id, span.span_id) == (row.trace_id, row.span_id)
        _compare_event(event, row)
        assert event == by_number[number].event
    ids = {(span.trace_id, span.span_id) for span in spans}
    ids |= {(row.trace_id, row.span_id) for row in rows.values()}
    for span in spans:
        assert span.ended - span.began <= OPERATION_LIMIT * 1e9
        assert all((trace_id, span_id) in ids for trace_id, span_id, _ in span.links), span
    return spans, logs


def in_order(items: list[Log] | list[Span]) -> bool:
    """Return whether the items of each domain are in the order of the journal, repetitions aside."""
    newest: dict[str, int] = {}
    for item in items:
        event = item.event if isinstance(item, Log) else item.events[-1]
        uuid = event.attributes["libvirt.domain.uuid"]
        if event.number < newest.get(uuid, 0):
            return False
        newest[uuid] = event.number
    return True


def _compare_event(event: Event, row: JournalRow) -> None:
    attributes = {key: value for key, value in event.attributes.items() if key != "error.type"}
    assert attributes == row.attributes
    assert event.name == f"libvirt.domain.{row.event}"
    assert event.at == int(row.at * 1e9)


def _without_duplicates(items: list[Any]) -> list[Any]:
    found: dict[tuple[str, int], Any] = {}
    for item in items:
        key = (item.span_id, item.event.number if isinstance(item, Log) else 0)
        assert found.setdefault(key, item).text == item.text, "a repetition differs"
    return list(found.values())
