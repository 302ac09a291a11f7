"""Throughput and latency of events: a callback that only counts compared with the whole exporter.

``python -m tests.bench.event_path baseline|exporter|without_journal`` in a separate process; prints one JSON
object. The exporter exports to the endpoint of the OTEL_* variables, if any. libvirt's in-process test driver
sends the events, and the caller runs in the same process: the figures include the cost of Python and of the
binding, also for the baseline.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.app.application import App
from libvirt_lifecycle_exporter.config.settings import Settings, parse_target
from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP

URI = "test:///default"
EVENTS = 100_000
SINGLES = 2000
QUEUE_SIZE = 1_000_000
PAIRS = [("suspended", "paused"), ("resumed", "unpaused")]

CountEvents = Callable[[], int]


def baseline(_folder: str) -> CountEvents:
    """Register a callback that only counts."""
    count = 0

    def callback(*_arguments: Any) -> None:
        nonlocal count
        count += 1

    connection = libvirt.openReadOnly(URI)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, None)
    return lambda: count


def exporter(folder: str) -> CountEvents:
    """Start the exporter without the web server."""
    return start_exporter(f"{folder}/journal.sqlite")


def without_journal(_folder: str) -> CountEvents:
    """Start the exporter without a journal."""
    return start_exporter("none")


def start_exporter(journal: str) -> CountEvents:
    settings = Settings(
        targets=(parse_target(URI),),
        queue_size=QUEUE_SIZE,
        journal_path=journal,
        telemetry=read_telemetry(os.environ),
    )
    app = App(settings, sockets=[])
    app.start()
    while not app.is_ready():
        time.sleep(0.01)
    return lambda: app.transition_count(URI, PAIRS)


def measure(count: CountEvents) -> dict[str, float]:
    domain = libvirt.open(URI).lookupByName("test")
    # First: the throughput test would leave queued events.
    latencies = sorted(one_by_one(domain, count))
    before, started = count(), time.perf_counter()
    for _ in range(EVENTS // 2):
        domain.suspend()
        domain.resume()
    while count() - before < EVENTS:
        time.sleep(0.001)
    seconds = time.perf_counter() - started
    return {
        "events_per_second": EVENTS / seconds,
        "latency_p50_ms": 1000 * statistics.median(latencies),
        "latency_p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


def one_by_one(domain: Any, count: CountEvents) -> list[float]:
    """Return the seconds from the call to the count, one event at a time."""
    latencies = []
    for number in range(SINGLES):
        act = domain.resume if number % 2 else domain.suspend
        before = count()
        started = time.perf_counter()
        act()
        while count() == before:
            time.sleep(0.00002)
        latencies.append(time.perf_counter() - started)
        time.sleep(0.001)
    return latencies


COLUMNS: dict[str, Callable[[str], CountEvents]] = {
    "baseline": baseline,
    "exporter": exporter,
    "without_journal": without_journal,
}

if __name__ == "__main__":
    LOOP.start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        print(json.dumps(measure(COLUMNS[sys.argv[1]](home))), flush=True)
    # Exit at once as the exporter does: threads are inside libvirt, and Python's finalization can crash.
    os._exit(0)
