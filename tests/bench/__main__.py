"""``make bench``: figures, as ratios within one run wherever a machine's speed would decide.

Benchmarks stand apart from the tests: nothing here passes or fails.
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


def one(what: str, **variables: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.floor", what],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def throughput() -> None:
    """In turn, so that a machine whose speed drifts is as slow for the one as for the other."""
    with tempfile.TemporaryDirectory() as folder, Collector(Path(folder)) as collector:
        rounds = [
            (
                one("nothing"),
                one("unjournalled"),
                one("exporter"),
                one("exporter", **collector.environment()),
            )
            for _ in range(ROUNDS)
        ]
    print(f"\nthe event path, {ROUNDS} rounds in turn, medians (least to most)")
    for figure in rounds[0][0]:
        floor, bare, whole, told = (
            [measured[figure] for measured in column] for column in zip(*rounds, strict=True)
        )
        print(f"  {figure}")
        print(f"    a callback that does nothing {spread(floor)}")
        print(
            f"    the exporter                 {spread(whole)}   against that {spread(ratio(whole, floor))}"
        )
        print(
            f"    without a journal            {spread(bare)}   with / without {spread(ratio(whole, bare))}"
        )
        print(f"    telling a Collector, too     {spread(told)}   on / off {spread(ratio(told, whole))}")


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
    print("\na round of canaries")
    for where, found in hangs.figures():
        print(f"  {where}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


def alerting() -> None:
    print("\nfrom a killed emulator to the alert that fires, and to the pager (group_wait: 10 s)")
    for reaction in alerts.reactions():
        print(f"  scraped and evaluated every {reaction.interval} s each")
        print(f"    it fires         {alerts.spread(reaction.fires)}")
        print(f"    the pager knows  {alerts.spread(reaction.told)}")
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
