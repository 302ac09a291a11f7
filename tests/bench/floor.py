"""Events per second, and how late: a callback that does nothing against the whole exporter.

``python -m tests.bench.floor nothing|exporter|unjournalled`` in a process of its own; prints one JSON object.
The exporter sends to where the OTEL_* variables say, if anywhere. All run on libvirt's in-process test
driver, with the caller in the same process: this is the price of Python and of the binding as well, which
the one that does nothing pays too.
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
EVERY_EVENT_FITS = 1_000_000
PAIRS = [("suspended", "paused"), ("resumed", "unpaused")]

Counted = Callable[[], int]


def nothing(_folder: str) -> Counted:
    """A callback that only counts."""
    count = 0

    def callback(*_arguments: Any) -> None:
        nonlocal count
        count += 1

    connection = libvirt.openReadOnly(URI)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, callback, None)
    return lambda: count


def exporter(folder: str) -> Counted:
    """The exporter, all of it but the web server."""
    return whole(f"{folder}/journal.sqlite")


def unjournalled(_folder: str) -> Counted:
    """The same without a journal."""
    return whole("none")


def whole(journal: str) -> Counted:
    settings = Settings(
        targets=(parse_target(URI),),
        queue_size=EVERY_EVENT_FITS,
        journal_path=journal,
        telemetry=read_telemetry(os.environ),
    )
    app = App(settings, sockets=[])
    app.start()
    while not app.is_ready():
        time.sleep(0.01)
    return lambda: app.transition_count(URI, PAIRS)


def measure(counted: Counted) -> dict[str, float]:
    domain = libvirt.open(URI).lookupByName("test")
    # First, while nothing is left over from the flood.
    late = sorted(one_by_one(domain, counted))
    before, started = counted(), time.perf_counter()
    for _ in range(EVENTS // 2):
        domain.suspend()
        domain.resume()
    while counted() - before < EVENTS:
        time.sleep(0.001)
    took = time.perf_counter() - started
    return {
        "events_per_second": EVENTS / took,
        "latency_p50_ms": 1000 * statistics.median(late),
        "latency_p99_ms": 1000 * late[len(late) * 99 // 100],
    }


def one_by_one(domain: Any, counted: Counted) -> list[float]:
    """From the call to the count, one event at a time, with time to breathe in between."""
    late = []
    for number in range(SINGLES):
        act = domain.resume if number % 2 else domain.suspend
        before = counted()
        started = time.perf_counter()
        act()
        while counted() == before:
            time.sleep(0.00002)
        late.append(time.perf_counter() - started)
        time.sleep(0.001)
    return late


COLUMNS: dict[str, Callable[[str], Counted]] = {
    "nothing": nothing,
    "exporter": exporter,
    "unjournalled": unjournalled,
}

if __name__ == "__main__":
    LOOP.start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        print(json.dumps(measure(COLUMNS[sys.argv[1]](home))), flush=True)
    # As the exporter ends: at once, while threads are inside libvirt; Python's own way out can crash then.
    os._exit(0)
