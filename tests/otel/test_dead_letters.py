"""Rows that cannot be told, or hardly: they stand aside alone."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.spans import Span, SpanRef
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES, ExportItem, Row
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.exporters import OtlpExporter
from libvirt_lifecycle_exporter.otel.resource import build_resources
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus
from tests.lab.collector import Collector
from tests.lab.waiting import until
from tests.otel.export_harness import HERE, ExportHarness, event
from tests.otel.journal_comparison import compare

GOOD = 30
YEAR_3000 = 32_503_680_000.0
LARGE = "why? " * 200_000


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_bad_rows_stand_aside_and_good_ones_pass(tmp_path: Path, collector: Collector, *, grpc: bool) -> None:
    now = time.time()
    bad = [event(at=YEAR_3000, name="clock"), event(at=1e300, name="clock")]
    odd = [
        event("stopped/crashed", message=LARGE, name="large"),
        event(name='li"v\\ed\n🐎'),
        event(at=4_000_000_000.0, name="2096"),
    ]
    changes = [*(event(at=now) for _ in range(GOOD)), *odd, *bad, *(event(at=now) for _ in range(GOOD))]
    collector.traces.unlink(missing_ok=True)
    collector.logs.unlink(missing_ok=True)
    collector.stop()
    collector.start()
    with ExportHarness(tmp_path, collector.environment(grpc=grpc)) as harness:
        harness.send(changes)
        until(lambda: len(harness.dead_letters()) == 4, 20, "the bad rows to be set aside")
        until(lambda: not harness.pending(TRACES) and not harness.pending(LOGS), 20, "the others to be taken")
        assert harness.dead_letters() == [("logs", "unencodable")] * 2 + [("traces", "unencodable")] * 2
        for signal in (TRACES, LOGS):
            assert harness.sender(signal).dropped["unencodable"] == 2
            assert harness.sender(signal).exported == len(changes) - 2
        with closing(sqlite3.connect(harness.path)) as database:
            ((item,),) = database.execute(
                "SELECT item FROM dead_letters WHERE position = 34 AND signal = 'logs'"
            )
            assert json.loads(item)[4][0][1][0] == YEAR_3000
            # Whoever compares the journal with the collector leaves those out.
            database.execute("DELETE FROM transitions WHERE at IN (?, ?)", (YEAR_3000, 1e300))
            database.commit()
        spans, _ = compare(collector, harness.path)
    (large,) = (span for span in spans if span.attributes["libvirt.domain.name"] == "large")
    assert large.events[0].attributes["libvirt.domain.message"] == LARGE


def test_a_time_before_time_is_too_old(tmp_path: Path, collector: Collector) -> None:
    with ExportHarness(tmp_path, collector.environment()) as harness:
        harness.send([event(at=-5.0), event()])
        until(lambda: not harness.pending(TRACES) and not harness.pending(LOGS), 20, "the queue to be empty")
        assert harness.sender(LOGS).dropped["too_old"] + harness.sender(LOGS).dropped["unencodable"] == 1
        assert harness.sender(LOGS).exported == 1


@pytest.mark.parametrize("field", ["name", "reason", "uuid", "message"])
@pytest.mark.parametrize("signal", [TRACES, LOGS])
def test_a_lone_surrogate_cannot_be_told(field: str, signal: str) -> None:
    """The journal holds none (SQLite takes none), and the names are cleaned before: this is the last line."""
    ref = SpanRef("1" * 32, "2" * 16)
    change = Transition(**{**event()._asdict(), field: "broken \ud800"})
    span = Span(1, ref, "x", change.at, change.at, "", None, (), (1,)) if signal == TRACES else None
    item = ExportItem(1, HERE, change.uuid, span, (Row(1, change, ref, exported_without_message=False),))
    result = OtlpExporter(signal, Encoder(build_resources({HERE: HERE}, "")), Nowhere()).export([item])
    assert result.status is ExportStatus.UNENCODABLE


class Nowhere:
    """Nothing is sent."""

    def send(self, payload: bytes) -> ExportResult:
        raise AssertionError(payload)

    def abort(self) -> None:
        """Nothing is under way."""

    close = abort
