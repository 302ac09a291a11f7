"""Items that cannot be encoded become dead letters; others are delivered."""

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
def test_only_bad_items_become_dead_letters(tmp_path: Path, collector: Collector, *, grpc: bool) -> None:
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
        until(lambda: len(harness.dead_letters()) == 4, 20, "the dead letters")
        until(lambda: not harness.pending(TRACES) and not harness.pending(LOGS), 20, "delivery of the others")
        assert harness.dead_letters() == [("logs", "unencodable")] * 2 + [("traces", "unencodable")] * 2
        for signal in (TRACES, LOGS):
            assert harness.sender(signal).dropped["unencodable"] == 2
            assert harness.sender(signal).exported == len(changes) - 2
        with closing(sqlite3.connect(harness.path)) as database:
            ((item,),) = database.execute(
                "SELECT item FROM dead_letters WHERE position = 34 AND signal = 'logs'"
            )
            assert json.loads(item)[4][0][1][0] == YEAR_3000
            # The comparison with the Collector must not expect the dead letters.
            database.execute("DELETE FROM transitions WHERE at IN (?, ?)", (YEAR_3000, 1e300))
            database.commit()
        spans, _ = compare(collector, harness.path)
    (large,) = (span for span in spans if span.attributes["libvirt.domain.name"] == "large")
    assert large.events[0].attributes["libvirt.domain.message"] == LARGE


def test_time_before_1970_is_dropped(tmp_path: Path, collector: Collector) -> None:
    with ExportHarness(tmp_path, collector.environment()) as harness:
        harness.send([event(at=-5.0), event()])
        until(lambda: not harness.pending(TRACES) and not harness.pending(LOGS), 20, "an empty queue")
        assert harness.sender(LOGS).dropped["too_old"] + harness.sender(LOGS).dropped["unencodable"] == 1
        assert harness.sender(LOGS).exported == 1


@pytest.mark.parametrize("field", ["name", "reason", "uuid", "message"])
@pytest.mark.parametrize("signal", [TRACES, LOGS])
def test_lone_surrogate_is_unencodable(field: str, signal: str) -> None:
    """SQLite stores no lone surrogates, and names are sanitized before. The encoder rejects them as well."""
    ref = SpanRef("1" * 32, "2" * 16)
    change = Transition(**{**event()._asdict(), field: "broken \ud800"})
    span = Span(1, ref, "x", change.at, change.at, "", None, (), (1,)) if signal == TRACES else None
    item = ExportItem(1, HERE, change.uuid, span, (Row(1, change, ref, exported_without_message=False),))
    result = OtlpExporter(signal, Encoder(build_resources({HERE: HERE}, "")), UnusedTransport()).export(
        [item]
    )
    assert result.status is ExportStatus.UNENCODABLE


class UnusedTransport:
    """A transport that must not be used."""

    def send(self, payload: bytes) -> ExportResult:
        raise AssertionError(payload)

    def abort(self) -> None:
        """Do nothing."""

    close = abort
