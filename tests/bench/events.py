"""Events of this exporter against the floor and the naive exporter, in rounds of one process each.

``python -m tests.bench.events ROUNDS``; prints one JSON object. Each round measures all variants, so that a
change of the machine's speed affects all of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab.collector import Collector, collector_program

DOMAINS = 100
MANY = 1000
SCRAPE_INTERVAL = 1.0

Variant = tuple[str, int, bool]
"""Variant of event_path.py, number of domains, whether telemetry is exported."""
VARIANTS: dict[str, Variant] = {
    "callback": ("callback", DOMAINS, False),
    "naive": ("naive", DOMAINS, True),
    "without_journal": ("without_journal", DOMAINS, False),
    "exporter": ("exporter", DOMAINS, False),
    "exporting": ("exporter", DOMAINS, True),
    "scraped": ("scraped", DOMAINS, True),
    "scraped_many": ("scraped", MANY, True),
}


def measure(variant: str, domains: int, labels: int = 1, environment: Mapping[str, str] | None = None) -> Any:
    """Run event_path.py; its /metrics, if it has one, is scraped every second."""
    done = threading.Event()
    argv = [sys.executable, "-m", "tests.bench.event_path", variant, str(domains), str(labels)]
    with subprocess.Popen(
        argv, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline() or 0)
        scraper = threading.Thread(target=_scrape, args=(port, done), daemon=True)
        if port:
            scraper.start()
        output = process.stdout.read()
        done.set()
    if process.returncode:
        raise RuntimeError(f"event_path {variant} ended with {process.returncode}")
    return json.loads(output.splitlines()[-1])


def _scrape(port: int, done: threading.Event) -> None:
    while not done.wait(SCRAPE_INTERVAL):
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            page.read()


def why_there_is_no_collector() -> str:
    """Return the reason in one sentence; empty if the Collector is available."""
    try:
        collector_program()
    except pytest.skip.Exception as missing:
        return str(missing)
    return ""


def figures(rounds: int) -> dict[str, Any]:
    """Return the values of all rounds by variant; without a Collector, variants that export are missing."""
    missing = why_there_is_no_collector()
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        receiver = {} if missing else stack.enter_context(Collector(Path(folder))).environment()
        for number in range(rounds):
            print(f"events: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for name, (variant, domains, exports) in VARIANTS.items():
                if exports and missing:
                    continue
                measured = measure(variant, domains, environment=receiver if exports else None)
                for figure, value in measured.items():
                    found.setdefault(name, {}).setdefault(figure, []).append(value)
    return {"domains": DOMAINS, "many": MANY, "variants": found, "collector": missing}


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]))), flush=True)
