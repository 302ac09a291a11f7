"""Soak: storms, reconnects, scrapes and an OTLP outage; what grows must be flat at the end.

``python -m tests.bench.soak MINUTES``; prints one JSON object. Journal retention and series TTL are short, so
that both reach their limits in the first third.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.driver_daemon import DriverDaemon, driver_daemon
from tests.bench.events import why_there_is_no_collector
from tests.bench.process_figures import descriptors, rss_mib, threads
from tests.lab.collector import Collector
from tests.lab.exporter import Exporter

DOMAINS = 100
STORM = 2000
"""Events of a storm."""
SCRAPE_INTERVAL = 5.0
ROUND = 20.0
"""Seconds from one storm to the next one; every third round, the daemon is restarted."""
FLAT = 1.1
EXPORTER = (
    *("--journal.retention-size", "4MB", "--journal.retention", "30s"),
    *("--series.ttl", "30s", "--libvirt.reconnect-max-delay", "1s", "--otel.max-age", "2m"),
)

Samples = dict[str, list[float]]
Action = Callable[[], object]


def storm(daemon: DriverDaemon) -> None:
    for number in range(STORM // 2):
        domain = daemon.domains[number % DOMAINS]
        domain.suspend()
        domain.resume()


def reconnect(daemon: DriverDaemon) -> None:
    """Restart the daemon; its domains return with the same UUIDs."""
    daemon.restart()
    daemon.populate(DOMAINS)


def sample(exporter: Exporter, samples: Samples) -> None:
    exporter.text()
    files = exporter.journal.path.parent.glob(exporter.journal.path.name + "*")
    for name, value in {
        "RSS, MiB": rss_mib(exporter.pid),
        "threads": threads(exporter.pid),
        "file descriptors": descriptors(exporter.pid),
        "journal, MiB": sum(file.stat().st_size for file in files) / 2**20,
    }.items():
        samples.setdefault(name, []).append(value)


def thirds(values: list[float]) -> dict[str, Any]:
    """Return the medians of the first and of the last third, and whether the last is flat."""
    size = max(1, len(values) // 3)
    first, last = statistics.median(values[:size]), statistics.median(values[-size:])
    return {"first": first, "last": last, "is_flat": last <= first * FLAT}


def run(exporter: Exporter, daemon: DriverDaemon, receiver: Collector | None, seconds: float) -> Samples:
    samples: Samples = {}
    began = due = time.monotonic()
    rounds = 0
    actions: dict[float, Action] = {}
    if receiver:
        # Once in each third, for a tenth of the time: the thirds are comparable.
        for third in range(3):
            actions[(third + 0.4) * seconds / 3] = receiver.stop
            actions[(third + 0.7) * seconds / 3] = receiver.start
    while (elapsed := time.monotonic() - began) < seconds:
        for at in [at for at in sorted(actions) if at <= elapsed]:
            actions.pop(at)()
        if elapsed >= rounds * ROUND:
            rounds += 1
            if rounds % 3 == 0:
                reconnect(daemon)
            storm(daemon)
        sample(exporter, samples)
        due += SCRAPE_INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))
    return samples


def figures(minutes: float) -> dict[str, Any]:
    missing = why_there_is_no_collector()
    with (
        tempfile.TemporaryDirectory() as scratch,
        driver_daemon(DOMAINS) as (folder, daemon),
        ExitStack() as stack,
    ):
        receiver = None if missing else stack.enter_context(Collector(Path(scratch)))
        environment = receiver.environment() if receiver else None
        exporter = stack.enter_context(
            Exporter(folder, [daemon.test_uri], extra_args=EXPORTER, environment=environment)
        )
        samples = run(exporter, daemon, receiver, 60 * minutes)
    return {
        "minutes": minutes,
        "collector": missing,
        "figures": {name: thirds(values) for name, values in samples.items()},
    }


if __name__ == "__main__":
    print(json.dumps(figures(float(sys.argv[1]))), flush=True)
