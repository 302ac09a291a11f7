"""A real Collector receives exactly the content of the journal from a real exporter."""

from pathlib import Path

import pytest

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.waiting import until
from tests.otel.journal_comparison import compare, in_order, read_rows, wait_delivered

EXPORTED = "libvirt_lifecycle_exporter_otlp_exported_total"
PENDING = "libvirt_lifecycle_exporter_otlp_pending"
DOMAINS = [f"otel-{number}" for number in range(4)]


@pytest.mark.parametrize("grpc", [False, True], ids=["http", "grpc"])
def test_collector_receives_the_content_of_the_journal(
    root: Path, own_daemon: Daemon, driver: Driver, *, grpc: bool
) -> None:
    with (
        Collector(root) as collector,
        Exporter(root, [own_daemon.test_uri], environment=collector.environment(grpc=grpc)) as exporter,
    ):
        for name in DOMAINS:
            driver.define(name)
        for _ in range(10):
            for name in DOMAINS:
                driver.cycle(name)
        exporter.wait_until(lambda: len(read_rows(exporter.journal.path)) == 4 * 41, what="all transitions")
        wait_delivered(exporter.journal.path)
        spans, logs = compare(collector, exporter.journal.path)
        assert len(logs) == len({log.event.number for log in logs}) == 4 * 41
        assert len(collector.records()) == len(logs)
        assert len(collector.spans()) == len(spans)
        assert in_order(collector.records())
        assert in_order(collector.spans())
        for signal in ("traces", "logs"):
            exporter.wait_until(lambda signal=signal: exporter.value(EXPORTED, signal=signal) == 4 * 41)  # type: ignore[misc]
            exporter.wait_until(lambda signal=signal: exporter.value(PENDING, signal=signal) == 0)  # type: ignore[misc]
        assert {span.resource["service.name"] for span in spans} == {"libvirt-lifecycle-exporter"}
        assert len({span.resource["service.instance.id"] for span in spans}) == 1
        assert spans[0].resource == logs[0].resource


@pytest.mark.parametrize(("events", "expected"), [("span", (5, 0)), ("log", (0, 5))])
def test_otel_events_selects_span_events_or_log_records(
    root: Path, own_daemon: Daemon, driver: Driver, events: str, expected: tuple[int, int]
) -> None:
    flags = ("--otel.events", events, "--otel.run-spans")
    with (
        Collector(root) as collector,
        Exporter(
            root, [own_daemon.test_uri], extra_args=flags, environment=collector.environment()
        ) as exporter,
    ):
        driver.define("chosen")
        driver.cycle("chosen")
        exporter.wait_until(lambda: len(read_rows(exporter.journal.path)) == 5)
        wait_delivered(exporter.journal.path)
        until(lambda: len(collector.spans()) == 6, 10, "five spans and the span of the run")
        on_spans = sum(len(span.events) for span in collector.spans())
        assert (on_spans, len(collector.records())) == expected
        (run,) = (span for span in collector.spans() if span.name == "run domain")
        (start,) = (span for span in collector.spans() if span.name == "start domain")
        assert run.linked("run") == [start.span_id]
        assert run.began == start.began


def test_transitions_without_an_endpoint_are_never_sent(
    root: Path, own_daemon: Daemon, driver: Driver
) -> None:
    journal = root / "journal"
    with ExporterWithJournal(root, [own_daemon.test_uri], journal) as exporter:
        driver.define("silent")
        exporter.wait_until(lambda: exporter.lifecycle_counts("silent")["defined", "added"])
        assert "exporter_otlp" not in "".join(
            line for line in exporter.text().splitlines() if not line.startswith("#")
        )
    with (
        Collector(root) as collector,
        ExporterWithJournal(
            root, [own_daemon.test_uri], journal, environment=collector.environment()
        ) as exporter,
    ):
        driver.cycle("silent")
        exporter.wait_until(lambda: len(read_rows(journal)) == 4)
        wait_delivered(journal)
        compare(collector, journal)
        assert {log.event.number for log in collector.records()} == {2, 3, 4, 5}


def test_restart_delivers_pending_items(root: Path, own_daemon: Daemon, driver: Driver) -> None:
    """The exporter sends pending items when it stops; the next one sends the rest."""
    journal = root / "journal"
    with Collector(root) as collector:
        for number in range(3):
            with ExporterWithJournal(
                root, [own_daemon.test_uri], journal, environment=collector.environment()
            ) as exporter:
                driver.define(f"restarted-{number}")
                driver.cycle(f"restarted-{number}")
                exporter.wait_until(lambda number=number: len(read_rows(journal)) == 5 * (number + 1))  # type: ignore[misc]
        with ExporterWithJournal(root, [own_daemon.test_uri], journal, environment=collector.environment()):
            wait_delivered(journal)
            compare(collector, journal)
