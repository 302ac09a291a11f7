"""After outages of the Collector and crashes of the exporter, everything is delivered."""

import threading
from pathlib import Path

import pytest

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.waiting import until
from tests.otel.journal_comparison import compare, pending, read_rows, wait_delivered

EVENTS = 10_000
DOMAINS = [f"outage-{number}" for number in range(20)]


@pytest.fixture(autouse=True)
def _domains(driver: Driver) -> None:
    for name in DOMAINS:
        driver.define(name)


def wait_more(collector: Collector, seen: int) -> None:
    until(lambda: len(collector.records()) > seen, 30, "delivery after the restart")


def drive(driver: Driver, rounds: int) -> None:
    for _ in range(rounds):
        for name in DOMAINS:
            driver.cycle(name)


@pytest.mark.timeout(300)
def test_long_outage_with_a_killed_exporter(root: Path, own_daemon: Daemon, driver: Driver) -> None:
    journal = root / "journal"
    collector = Collector(root)
    flags = ("--otel.catch-up-rate", "0")
    environment = collector.environment()
    with ExporterWithJournal(
        root, [own_daemon.test_uri], journal, extra_args=flags, environment=environment
    ) as exporter:
        for _ in range(4):
            drive(driver, 32)
            exporter.kill()
            exporter.again()
        while pending(journal)[1] < EVENTS:
            drive(driver, 4)
        with collector:
            # Killed during delivery: accepted items that were not yet marked are sent again, identically.
            for _ in range(2):
                before = pending(journal)[1]
                until(lambda before=before: pending(journal)[1] < before - 600, 60, "some deliveries")  # type: ignore[misc]
                exporter.kill()
                exporter.again()
            wait_delivered(journal, 120)
            spans, logs = compare(collector, journal)
            assert len(logs) >= EVENTS
            repeated = len(collector.records()) - len(logs), len(collector.spans()) - len(spans)
            print(f"{len(logs)} logs, {len(spans)} spans; repeated: {repeated}")


@pytest.mark.timeout(300)
def test_collector_restarts_repeatedly(root: Path, own_daemon: Daemon, driver: Driver) -> None:
    journal = root / "journal"
    over = threading.Event()

    def storm() -> None:
        while not over.is_set():
            drive(driver, 1)

    with (
        Collector(root) as collector,
        ExporterWithJournal(
            root, [own_daemon.test_uri], journal, environment=collector.environment()
        ) as exporter,
    ):
        storming = threading.Thread(target=storm)
        storming.start()
        try:
            for _ in range(20):
                seen = len(collector.records())
                collector.stop()
                collector.start()
                wait_more(collector, seen)
        finally:
            over.set()
            storming.join()
        last = len(read_rows(journal))
        exporter.wait_until(lambda: len(read_rows(journal)) >= last)
        wait_delivered(journal, 60)
        _, logs = compare(collector, journal)
        assert exporter.value("libvirt_lifecycle_exporter_sink_errors_total", sink="otlp_logs")
        print(f"{len(logs)} logs, {len(collector.records()) - len(logs)} repeated")
