"""``make bench``: measures, prints one table for each part, and writes docs/performance.md with its plots.

    python -m tests.bench [--rounds 5] [PART ...]

Without a PART: scrapes, crashes, events and growth, which take about 20 minutes. Each runs in a process of
its own. ``hangs``, ``otlp``, ``alerts`` and ``dashboards`` are only printed. Benchmarks are no tests: a goal
that is not met is no failure.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

from tests.bench import report
from tests.bench.machine import load_average, machine, versions

PARTS = ("scrapes", "crashes", "events", "growth")
PRINTED = ("hangs", "otlp", "alerts", "dashboards")
ROUNDS = 5


def measure(part: str, argument: str) -> dict[str, Any]:
    """Run a part; return its figures and when they were measured."""
    load, began = load_average(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{part}", argument], stdout=subprocess.PIPE, text=True, check=True
    )
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load": load,
        "seconds": time.monotonic() - began,
        "figures": json.loads(done.stdout.splitlines()[-1]),
    }


def save(part: str, argument: str) -> None:
    """Measure a part and write it: a later part that fails does not lose it."""
    measured = measure(part, argument)
    document = report.load()
    order = [*PARTS, "soak"]
    parts = {**document["parts"], part: measured}
    report.write(
        {
            "machine": machine(),
            "versions": versions(),
            "parts": {name: parts[name] for name in order if name in parts},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--soak-minutes", type=float, default=30)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, *PRINTED, "soak", "page", []])
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        if part in PRINTED:
            subprocess.run([sys.executable, "-m", "tests.bench.printed", part], check=True)
        elif part == "page":
            report.write(report.load())
        else:
            save(part, str(arguments.soak_minutes if part == "soak" else arguments.rounds))
    print(report.console(report.load()))
    print(f"\nwritten: {report.PAGE}, {report.FIGURES}")


if __name__ == "__main__":
    main()
