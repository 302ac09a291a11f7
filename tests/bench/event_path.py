"""Throughput and latency of events in one process.

    python -m tests.bench.event_path VARIANT DOMAINS LABELS

Variants: ``callback`` only counts; ``naive`` is tests/bench/naive_exporter.py; ``without_journal`` and
``exporter`` are this exporter, ``scraped`` measures only the latency. The endpoint of the OTEL_* variables
receives telemetry, if any. libvirt's in-process test driver sends the events and the caller runs in the same
process: the figures include the cost of Python and of the binding, also for the callback.

LABELS: number of connections of the exporter, each of which gets every event. Prints the port of /metrics
(0: none), then one JSON object.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.app.application import App
from libvirt_lifecycle_exporter.config.settings import Settings, Target
from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.web.server import bind
from tests.bench.driver_daemon import create_domains
from tests.lab.waiting import until

URI = "test:///default"
EVENTS = 30_000
SINGLES = 2000
SCRAPED_SECONDS = 8.0
QUEUE_SIZE = 1_000_000
SERIES_LIMIT = 1_000_000
PAIRS = [("suspended", "paused"), ("resumed", "unpaused")]

CountEvents = Callable[[], int]


class CallbackCounter:
    """Registers a callback, and counts its calls after they returned."""

    def __init__(self, callback: Callable[..., None]) -> None:
        self.count = 0
        self._callback = callback
        self._connection = libvirt.openReadOnly(URI)
        self._connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._count, None
        )

    def _count(self, *arguments: Any) -> None:
        self._callback(*arguments)
        self.count += 1


def start_callback(_folder: Path) -> CountEvents:
    count = 0

    def callback(*_arguments: Any) -> None:
        nonlocal count
        count += 1

    connection = libvirt.openReadOnly(URI)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, None)
    return lambda: count


def start_naive(_folder: Path) -> CountEvents:
    from tests.bench import naive_exporter  # noqa: PLC0415 - the other variants do without the SDK

    counter = CallbackCounter(naive_exporter.on_event)
    return lambda: counter.count


def start_exporter(journal: str, labels: int = 1, port: int = -1) -> CountEvents:
    """Start the exporter; `port`: of the web server, 0: any; -1: no web server. Prints the port."""
    settings = Settings(
        targets=tuple(Target(f"c{number}", URI) for number in range(labels)),
        queue_size=QUEUE_SIZE,
        series_limit=SERIES_LIMIT,
        journal_path=journal,
        telemetry=read_telemetry(os.environ),
    )
    sockets = bind("127.0.0.1", port) if port >= 0 else []
    app = App(settings, sockets)
    app.start()
    until(app.is_ready, 60, "the exporter to be ready")
    print(sockets[0].getsockname()[1] if sockets else 0, flush=True)
    return lambda: sum(app.transition_count(target.label, PAIRS) for target in settings.targets)


def measure(count: CountEvents, domains: list[Any], labels: int) -> dict[str, float]:
    """Return the throughput and the latency."""
    # First: the throughput test would leave queued events.
    found = latency(count, domains, lambda number: number < SINGLES, labels)
    actions = EVENTS // labels
    before, started = count(), time.perf_counter()
    for number in range(actions // 2):
        domain = domains[number % len(domains)]
        domain.suspend()
        domain.resume()
    expected = before + actions // 2 * 2 * labels
    while count() < expected:
        time.sleep(0.001)
    return {"events_per_second": (expected - before) / (time.perf_counter() - started), **found}


def latency(
    count: CountEvents, domains: list[Any], proceed: Callable[[int], bool], labels: int = 1
) -> dict[str, float]:
    """Return the milliseconds from the call to the count, one event at a time, while `proceed` allows."""
    took: list[float] = []
    while proceed(number := len(took)):
        domain = domains[number // 2 % len(domains)]
        act = domain.resume if number % 2 else domain.suspend
        expected = count() + labels
        started = time.perf_counter()
        act()
        while count() < expected:
            time.sleep(0.00002)
        took.append(1000 * (time.perf_counter() - started))
        time.sleep(0.001)
    return {"p50_ms": statistics.median(took), "p99_ms": statistics.quantiles(took, n=100)[98]}


def run(variant: str, folder: Path, domains: int, labels: int) -> dict[str, float]:
    LOOP.start()
    acting = create_domains(libvirt.open(URI), domains)
    journal = "none" if variant == "without_journal" else str(folder / "journal.sqlite")
    if variant == "scraped":
        count = start_exporter(journal, port=0)
        deadline = time.monotonic() + SCRAPED_SECONDS
        return latency(count, acting, lambda _number: time.monotonic() < deadline)
    if variant in {"exporter", "without_journal"}:
        return measure(start_exporter(journal, labels), acting, labels)
    print(0, flush=True)
    return measure({"callback": start_callback, "naive": start_naive}[variant](folder), acting, 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        print(json.dumps(run(sys.argv[1], Path(home), int(sys.argv[2]), int(sys.argv[3]))), flush=True)
    # Exit at once as the exporter does: threads are inside libvirt, and Python's finalization can crash.
    os._exit(0)
