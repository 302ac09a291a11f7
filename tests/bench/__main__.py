"""``make bench``: prints figures, where possible as ratios within one run, which are independent of the
machine.

Benchmarks are no tests: they do not fail.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import alerts, dashboards, hangs, journal, otel
from tests.bench.size import figures
from tests.lab.collector import Collector

ROUNDS = 5
SIZES = (0, 100, 1000)


def measure(what: str, **variables: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.event_path", what],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def throughput() -> None:
    """Measure all variants in each round, so that a change of the machine's speed affects all of them."""
    with tempfile.TemporaryDirectory() as folder, Collector(Path(folder)) as collector:
        rounds = [
            (
                measure("baseline"),
                measure("without_journal"),
                measure("exporter"),
                measure("exporter", **collector.environment()),
            )
            for _ in range(ROUNDS)
        ]
    print(f"\nthe event path, {ROUNDS} rounds in turn, medians (least to most)")
    for figure in rounds[0][0]:
        baseline, without, full, exporting = (
            [measured[figure] for measured in column] for column in zip(*rounds, strict=True)
        )
        print(f"  {figure}")
        for variant, values, quotient, ratios in (
            ("a callback that only counts", baseline, "", []),
            ("the exporter", full, "exporter / callback", ratio(full, baseline)),
            ("without a journal", without, "with / without", ratio(full, without)),
            ("with export to a Collector", exporting, "on / off", ratio(exporting, full)),
        ):
            relative = f"   {quotient} {spread(ratios)}" if ratios else ""
            print(f"    {variant:28} {spread(values)}{relative}")


def ratio(these: list[float], those: list[float]) -> list[float]:
    return [this / that for this, that in zip(these, those, strict=True)]


def history() -> None:
    print("\nthe journal")
    with tempfile.TemporaryDirectory() as folder:
        print(
            "  " + ", ".join(f"{name} {value:.2f}" for name, value in journal.figures(Path(folder)).items())
        )


def telemetry() -> None:
    for part in otel.PARTS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.otel", part], check=True, capture_output=True, text=True
        )
        print(f"\nOpenTelemetry: {part}")
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            print(f"  {name} {value:.2f}")


def probing() -> None:
    print("\na round of emulator probes")
    for where, found in hangs.figures():
        print(f"  {where}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


def alerting() -> None:
    print("\nfrom a killed emulator to the firing alert and to its notification (group_wait: 10 s)")
    for reaction in alerts.reactions():
        print(f"  scraped and evaluated every {reaction.interval} s each")
        print(f"    it fires         {alerts.spread(reaction.fires)}")
        print(f"    it is received   {alerts.spread(reaction.notified)}")
    print("\nthe alert rules over a simulated fleet")
    for name, value in alerts.figures().items():
        print(f"  {name} {value:.3f}")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):10.3f} ({min(values):.3f} to {max(values):.3f})"


def sizes() -> None:
    print("\nby the number of domains")
    with tempfile.TemporaryDirectory() as folder:
        for domains in SIZES:
            found = figures(Path(folder), domains)
            print(
                f"  {domains:5} domains: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            )


if __name__ == "__main__":
    sizes()
    history()
    probing()
    throughput()
    telemetry()
    alerting()
    dashboards.report()
