"""Scrapes of 1,000 domains behind one daemon: this exporter, floors and peers, side by side.

``python -m tests.bench.scrapes ROUNDS``; prints one JSON object. All programs run at the same time and are
scraped in turn, over one connection each, as Prometheus does.
"""

import json
import os
import re
import statistics
import sys
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import libvirt

from tests.bench import peers
from tests.bench.driver_daemon import DriverDaemon, driver_daemon
from tests.bench.process_figures import cpu_seconds, rss_mib
from tests.lab.exporter import Exporter
from tests.lab.process_tree import ProcessTree
from tests.lab.waiting import until

DOMAINS = 1000
SCRAPES = 40
"""Scrapes of each program in a round."""
GZIP = {"Accept-Encoding": "gzip", "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
"""What Prometheus sends."""
PLAIN = {"Accept-Encoding": "identity"}
NAME = re.compile(r'"(vm-\d+)"')


class Target:
    """A program that is scraped: its process, its connection, and the figures of all rounds."""

    def __init__(self, pid: int, port: int, headers: dict[str, str]) -> None:
        self.pid = pid
        self.figures: dict[str, Any] = {
            name: [] for name in ("p50_ms", "cpu_ms", "daemon_cpu_ms", "rss_mib", "times_ms")
        }
        self._headers = headers
        self._client = HTTPConnection("127.0.0.1", port, timeout=30)

    def scrape(self) -> bytes:
        self._client.request("GET", "/metrics", headers=self._headers)
        return self._client.getresponse().read()

    def measure(self, daemon: int) -> None:
        """Scrape for one round."""
        self.scrape()
        took = []
        cpu, daemon_cpu = cpu_seconds(self.pid), cpu_seconds(daemon)
        for _ in range(SCRAPES):
            began = time.perf_counter()
            self.scrape()
            took.append(1000 * (time.perf_counter() - began))
        found = self.figures
        found["cpu_ms"].append(1000 * (cpu_seconds(self.pid) - cpu) / SCRAPES)
        found["daemon_cpu_ms"].append(1000 * (cpu_seconds(daemon) - daemon_cpu) / SCRAPES)
        found["p50_ms"].append(statistics.median(took))
        found["rss_mib"].append(rss_mib(self.pid))
        found["times_ms"] += took

    def summary(self) -> dict[str, Any]:
        """Return the figures; p99 is that of the scrapes of all rounds."""
        times = self.figures.pop("times_ms")
        if times:
            self.figures["p99_ms"] = statistics.quantiles(times, n=100)[98]
        return self.figures

    def describe(self) -> None:
        """Note the size of the page and the number of domains that it contains."""
        page = self.scrape()
        self.figures["kib"] = len(page) / 1024
        if self._headers is PLAIN:
            text = page.decode()
            self.figures["samples"] = sum(not line.startswith("#") for line in text.splitlines())
            self.figures["delivered"] = len(set(NAME.findall(text)))


def start(stack: ExitStack, folder: Path, daemon: DriverDaemon) -> tuple[dict[str, Target], int]:
    """Start all programs; return the targets by name, and the pid of the do-nothing callback."""
    exporter = stack.enter_context(Exporter(folder, [daemon.test_uri]))
    naive = stack.enter_context(peers.naive(folder, daemon.test_uri))
    processes = stack.enter_context(ProcessTree())
    script = str(Path(__file__).with_name("idle_callback.py"))
    idle = processes.spawn(
        [sys.executable, script, daemon.test_uri], env=os.environ, log=folder / "idle.log", cwd=folder
    )
    until(lambda: len(NAME.findall(exporter.text())) >= DOMAINS, 60, "all domains")
    for domain in daemon.domains:  # or the naive exporter would have nothing to serve
        domain.suspend()
        domain.resume()
    last = f'"vm-{DOMAINS - 1}"'
    until(lambda: last in naive.text(), 30, "all events in the naive exporter")
    labels = f'connection="test:///default",domain="vm-{DOMAINS - 1}"'
    resumed = f'libvirt_domain_lifecycle_events_total{{{labels},event="resumed"'
    until(lambda: resumed in exporter.text(), 30, "all events in the exporter")
    static = stack.enter_context(peers.static(folder, exporter.text().encode()))
    targets = {
        "exporter": Target(exporter.pid, exporter.port, PLAIN),
        "static": Target(static.pid, static.port, PLAIN),
        "exporter_gzip": Target(exporter.pid, exporter.port, GZIP),
        "static_gzip": Target(static.pid, static.port, GZIP),
        "naive": Target(naive.pid, naive.port, PLAIN),
    }
    if not peers.why_debian_is_unavailable():
        debian = stack.enter_context(peers.debian(folder, daemon.test_uri))
        targets["debian"] = Target(debian.pid, debian.port, PLAIN)
    return targets, idle


def figures(rounds: int) -> dict[str, Any]:
    with driver_daemon(DOMAINS) as (folder, daemon), ExitStack() as stack:
        targets, idle = start(stack, folder, daemon)
        for target in targets.values():
            target.describe()
        for number in range(rounds):
            print(f"scrapes: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for target in targets.values():
                target.measure(daemon.pid)
        rss = rss_mib(idle)
        existing = len(libvirt.openReadOnly(daemon.test_uri).listAllDomains())
    return {
        "domains": existing,
        "scrapes_a_round": SCRAPES,
        "callback_rss_mib": rss,
        "programs": {name: target.summary() for name, target in targets.items()},
        "debian": peers.why_debian_is_unavailable() or peers.debian_version(),
    }


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]))), flush=True)
