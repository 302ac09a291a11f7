"""Exemplars: a real Prometheus stores the spans of counters."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.journal.driver import Driver
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.prometheus import Prometheus
from tests.lab.waiting import until
from tests.otel.journal_comparison import read_rows

EVENTS = "libvirt_domain_lifecycle_events_total"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def exporter_with_events(own_daemon: Daemon, collector: Collector, tmp_path: Path) -> Iterator[Exporter]:
    with (
        Exporter(tmp_path, [own_daemon.test_uri], environment=collector.environment()) as exporter,
        Driver(own_daemon) as driver,
    ):
        driver.define("exemplary")
        driver.cycle("exemplary")
        driver.cycle("exemplary")
        exporter.wait_until(lambda: exporter.lifecycle_counts("exemplary")["stopped", "destroyed"] == 2)
        yield exporter


def test_prometheus_stores_the_span_of_the_last_transition(
    exporter_with_events: Exporter, tmp_path: Path
) -> None:
    newest = {f"{row.event}/{row.reason}": row for row in read_rows(exporter_with_events.journal.path)}
    with Prometheus(
        tmp_path, [f"127.0.0.1:{exporter_with_events.port}"], features=["exemplar-storage"]
    ) as prometheus:
        query = f'{EVENTS}{{domain="exemplary"}}'

        def kept() -> list[dict[str, object]]:
            found: list[dict[str, object]] = prometheus.ask(
                "query_exemplars", query=query, start="0", end="9999999999"
            )
            return found if len(found) == len(newest) else []

        for series in until(kept, 30, "exemplars in Prometheus"):
            labels, exemplars = series["seriesLabels"], series["exemplars"]
            assert isinstance(labels, dict)
            assert isinstance(exemplars, list)
            row = newest[f"{labels['event']}/{labels['reason']}"]
            assert exemplars[-1]["labels"] == {"trace_id": row.trace_id, "span_id": row.span_id}
            assert exemplars[-1]["timestamp"] == pytest.approx(row.at, abs=0.002)


def test_only_openmetrics_has_exemplars(exporter_with_events: Exporter) -> None:
    page = exporter_with_events.get("/metrics", Accept=OPENMETRICS)[2].decode()
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples if s.exemplar]
    assert {sample.name for sample in samples} == {EVENTS}
    assert all(sample.exemplar.value == 1 for sample in samples if sample.exemplar)
    assert " # {" not in exporter_with_events.text()
