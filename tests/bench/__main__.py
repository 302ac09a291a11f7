"""``make bench``: figures, as ratios within one run wherever a machine's speed would decide.

Benchmarks stand apart from the tests: nothing here passes or fails.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.size import figures

ROUNDS = 5
SIZES = (0, 100, 1000)


def one(what: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.floor", what], check=True, capture_output=True, text=True
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def throughput() -> None:
    """In turn, so that a machine whose speed drifts is as slow for the one as for the other."""
    rounds = [(one("nothing"), one("exporter")) for _ in range(ROUNDS)]
    print(f"\nthe event path, {ROUNDS} rounds in turn, medians (least to most)")
    for figure in rounds[0][0]:
        floor, whole = ([measured[figure] for measured in column] for column in zip(*rounds, strict=True))
        ratios = [of / against for of, against in zip(whole, floor, strict=True)]
        print(f"  {figure:20} nothing {spread(floor)}   exporter {spread(whole)}   ratio {spread(ratios)}")


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
    throughput()
