"""Of 100 crashes of guests that restart at once, how many does the data of each exporter show?

``python -m tests.bench.crashes``; prints one JSON object. The emulator of a guest is killed, and the guest is
started again as soon as libvirt reports that it is off. Meanwhile each exporter is scraped every 15 seconds.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, Self

import libvirt
from prometheus_client.parser import text_string_to_metric_families

from tests.bench import peers
from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.lab.page import EVENTS, Page
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until

CRASHES = 100
GUESTS = 10
SCRAPE_INTERVAL = 15.0
KILL_INTERVAL = 0.77
"""Seconds between two kills, so that they are spread over the scrape interval."""
STATES_OFF = (4, 5, 6)
"""libvirt's numbers of shutdown, shutoff and crashed."""

Values = dict[tuple[tuple[str, str], ...], float]
"""Samples of one scrape by their labels."""


def values(page: str, name: str, labels: Mapping[str, str]) -> Values:
    """Return the samples of this name that have these labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


def increases(pages: list[Values]) -> float:
    """Return the increases of counters that Prometheus' increase() can see: from one scrape to the next, for
    series that were in both; after a reset, the new value.
    """
    found = 0.0
    for before, after in pairwise(pages):
        for labels, value in after.items():
            if labels in before:
                found += value - before[labels] if value >= before[labels] else value
    return found


def resets(pages: list[Values]) -> int:
    """Return how often a counter of a series fell from one scrape to the next."""
    pairs = pairwise(pages)
    return sum(
        value < before[labels]
        for before, after in pairs
        for labels, value in after.items()
        if labels in before
    )


def summary(name: str, pages: list[str]) -> dict[str, float]:
    """Return how many crashes the pages of one exporter show.

    `visible`: crashes in the data, for Debian's exporter the guests that are off or missing. `counted`: what
    the last page has counted. `restarts`: resets of a counter, which a planned restart causes as well.
    """
    if name == "debian":
        states = [values(page, "libvirt_domain_state_code", {}) for page in pages]
        cpu = [values(page, "libvirt_domain_info_cpu_time_seconds_total", {}) for page in pages]
        off = sum(state in STATES_OFF for found in states for state in found.values())
        missing = sum(GUESTS - len(found) for found in states)
        return {"visible": off + missing, "restarts": resets(cpu)}
    counter, labels = {
        "exporter": (EVENTS, {"event": "stopped", "reason": "crashed"}),
        # libvirt's numbers of stopped and failed.
        "naive": ("naive_domain_events_total", {"event": "5", "detail": "5"}),
    }[name]
    counts = [values(page, counter, labels) for page in pages]
    return {"visible": increases(counts), "counted": sum(counts[-1].values())}


class Scraper:
    """Scrapes all exporters every 15 seconds on a thread."""

    def __init__(self, exporters: Mapping[str, Page]) -> None:
        self.pages: dict[str, list[str]] = {name: [] for name in exporters}
        self._exporters = exporters
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper")

    def __enter__(self) -> Self:
        self._scrape()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        """Scrape until the end, and once after it."""
        due = time.monotonic()
        while not self._ending.is_set():
            due += SCRAPE_INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))
            self._scrape()

    def _scrape(self) -> None:
        for name, exporter in self._exporters.items():
            self.pages[name].append(exporter.text())


def crash_all(daemon: SessionDaemon, domains: list[Any]) -> None:
    # A fixed order would repeat with the scrapes, which would always find the same guest.
    choice = random.Random(1).choice  # noqa: S311 - the same guests in each run
    due = time.monotonic()
    for number in range(CRASHES):
        time.sleep(max(0.0, due - time.monotonic()))
        due += KILL_INTERVAL
        domain = choice(domains)
        os.kill(daemon.emulator_pid(domain.name()), signal.SIGKILL)
        until(lambda domain=domain: not domain.isActive(), 30, f"libvirt to notice crash {number}")  # type: ignore[misc]
        domain.create()


def figures() -> dict[str, Any]:
    with short_root() as root, SessionDaemon(root / "daemon") as daemon, ExitStack() as stack:
        guests = Guests(root / "guests")
        connection = libvirt.open(daemon.uri)
        domains = [connection.defineXML(guests.xml(f"guest-{number}")) for number in range(GUESTS)]
        exporters: dict[str, Page] = {
            "exporter": stack.enter_context(Exporter(root, [daemon.uri])),
            "naive": stack.enter_context(peers.naive(root, daemon.uri)),
        }
        if not peers.why_debian_is_unavailable():
            exporters["debian"] = stack.enter_context(peers.debian(root, daemon.uri))
        for domain in domains:
            domain.create()
        until(lambda: '"guest-9"' in exporters["exporter"].text(), 30, "all guests")
        began = time.monotonic()
        with Scraper(exporters) as scraper:
            crash_all(daemon, domains)
            seconds = time.monotonic() - began
        connection.close()
    return {
        "crashes": CRASHES,
        "guests": GUESTS,
        "seconds": seconds,
        "scrapes": len(scraper.pages["exporter"]),
        "exporters": {name: summary(name, pages) for name, pages in scraper.pages.items()},
        "debian": peers.why_debian_is_unavailable() or peers.debian_version(),
    }


if __name__ == "__main__":
    print(json.dumps(figures()), flush=True)
