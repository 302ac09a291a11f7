"""Cost by the number of domains and of connections, and the memory that the goals name.

``python -m tests.bench.growth ROUNDS``; prints one JSON object. Over several connections the same number of
domains is divided among them. libvirtd's test driver has no emulators, so no hang probes run.
"""

import itertools
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.bench import events
from tests.bench.driver_daemon import driver_daemon
from tests.bench.process_figures import cpu_seconds, rss_mib
from tests.lab.collector import Collector
from tests.lab.exporter import Exporter

SIZES = (10, 100, 1000, 5000)
CONNECTIONS = (1, 4, 16)
MIDDLE = 1000
"""Number of domains for the growth by connections."""
IDLE = 30.0
SCRAPE_INTERVAL = 15.0
SCRAPES = 20
EVENT_ROUNDS = 3
JOURNAL_ROWS = 1_000_000
BATCH = 1000
LIMIT = ("--series.limit", "1000000")


def start(exporter: Exporter, domains: int, connections: int) -> float:
    """Start it and wait until the details of all domains are known; return the seconds until ready."""
    began = time.perf_counter()
    exporter.start()
    exporter.wait_ready()
    ready = time.perf_counter() - began
    expected = domains // connections * connections
    exporter.wait_until(lambda: exporter.text().count("\nlibvirt_domain_meta{") >= expected, 120)
    return ready


def measure(domains: int, connections: int) -> dict[str, float]:
    with driver_daemon(domains // connections) as (folder, daemon):
        exporter = Exporter(folder, daemon.targets(connections), extra_args=LIMIT)
        ready = start(exporter, domains, connections)
        took = []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            page = exporter.text()
            took.append(1000 * (time.perf_counter() - began))
        idle, daemon_idle = idle_cpu(exporter, daemon.pid)
        found = {
            "ready_s": ready,
            "scrape_ms": statistics.median(took),
            "samples": sum(not line.startswith("#") for line in page.splitlines()),
            "rss_mib": rss_mib(exporter.pid),
            "idle_cpu_percent": idle,
            "daemon_idle_cpu_percent": daemon_idle,
        }
        exporter.stop()
        found["restart_s"] = start(exporter, domains, connections)
        exporter.stop()
    rates = [
        events.measure("exporter", domains // connections, connections)["events_per_second"]
        for _ in range(EVENT_ROUNDS)
    ]
    return {
        "domains": domains,
        "connections": connections,
        **found,
        "events_per_second": statistics.median(rates),
    }


def idle_cpu(exporter: Exporter, daemon: int) -> tuple[float, float]:
    """Return the CPU use of the exporter and of the daemon in percent of a core, scraped every 15 s."""
    _settle(exporter.pid, daemon)
    own, daemons, began = cpu_seconds(exporter.pid), cpu_seconds(daemon), time.perf_counter()
    for _ in range(int(IDLE / SCRAPE_INTERVAL)):
        exporter.text()
        time.sleep(SCRAPE_INTERVAL)
    seconds = time.perf_counter() - began
    return (
        100 * (cpu_seconds(exporter.pid) - own) / seconds,
        100 * (cpu_seconds(daemon) - daemons) / seconds,
    )


def _settle(*pids: int) -> None:
    """Wait until the last lookups are done: the processes use less than 5 % of a core; at most 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        before = sum(map(cpu_seconds, pids))
        time.sleep(2)
        if sum(map(cpu_seconds, pids)) - before < 0.1:
            return


def memory(rounds: int) -> dict[str, list[float]]:
    """Return MiB after all domains are known and ten scrapes, with a new process in each round."""
    missing = events.why_there_is_no_collector()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        receiver = {} if missing else stack.enter_context(Collector(Path(scratch))).environment()
        for domains in (100, MIDDLE):
            with driver_daemon(domains) as (folder, daemon):
                for _, otlp in itertools.product(range(rounds), (False, True)):
                    if otlp and missing:
                        continue
                    exporter = Exporter(folder, [daemon.test_uri], environment=receiver if otlp else None)
                    start(exporter, domains, 1)
                    for _ in range(10):
                        exporter.text()
                    name = f"{domains}_otlp" if otlp else f"{domains}"
                    found.setdefault(name, []).append(rss_mib(exporter.pid))
                    exporter.stop()
    return found


def fill(path: Path) -> float:
    """Write JOURNAL_ROWS transitions of MIDDLE domains; return the bytes per row."""
    journal = Journal(path)
    journal.restore()
    for first in range(0, JOURNAL_ROWS, BATCH):
        batch = ChangeBatch()
        for place in range(first, first + BATCH):
            counted = _transition(place)
            batch.count_transition(counted, counted.name)
        journal.append(batch)
    journal.close()
    return path.stat().st_size / JOURNAL_ROWS


def _transition(place: int) -> Transition:
    event, reason = (("suspended", "paused"), ("resumed", "unpaused"))[place % 2]
    number = place // 2 % MIDDLE
    uuid = f"00000000-0000-4000-8000-{number:012}"
    return Transition(
        time.time(), "c0", uuid, f"vm-{number}", 1, event, reason, reason, 0, "callback", run_id="0" * 16
    )


def long_history(rounds: int) -> dict[str, Any]:
    """Measure from the start to ready with an empty journal and with a long one."""
    with driver_daemon(MIDDLE) as (folder, daemon):
        bytes_each = fill(folder / "full.sqlite")
        ready: dict[str, list[float]] = {"empty": [], "full": []}
        for number, name in itertools.product(range(rounds), ready):
            file = folder / (f"empty-{number}.sqlite" if name == "empty" else "full.sqlite")
            exporter = Exporter(folder, daemon.targets(1), extra_args=(*LIMIT, "--journal.path", str(file)))
            ready[name].append(start(exporter, MIDDLE, 1))
            exporter.stop()
    return {"rows": JOURNAL_ROWS, "bytes_a_row": bytes_each, "ready_s": ready}


def figures(rounds: int) -> dict[str, Any]:
    steps = dict.fromkeys([*((size, 1) for size in SIZES), *((MIDDLE, number) for number in CONNECTIONS)])
    rows = []
    for domains, connections in steps:
        print(f"growth: {domains} domains, {connections} connections", file=sys.stderr, flush=True)
        rows.append(measure(domains, connections))
    print("growth: memory", file=sys.stderr, flush=True)
    rss = memory(rounds)
    print("growth: a long history", file=sys.stderr, flush=True)
    return {"rows": rows, "rss_mib": rss, "history": long_history(rounds)}


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]))), flush=True)
