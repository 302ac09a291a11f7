"""Parts of ``make bench`` that are only printed.

python -m tests.bench.printed hangs|otlp|alerts|dashboards
"""

import json
import subprocess
import sys

from tests.bench import alerts, dashboards, hangs, otlp


def print_hangs() -> None:
    print("\na round of emulator probes")
    for where, found in hangs.figures():
        print(f"  {where}: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))


def print_otlp() -> None:
    for part in otlp.PARTS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.otlp", part], check=True, stdout=subprocess.PIPE, text=True
        )
        print(f"\nOpenTelemetry: {part}")
        for name, value in json.loads(done.stdout.splitlines()[-1]).items():
            print(f"  {name} {value:.2f}")


def print_alerts() -> None:
    print("\nfrom a killed emulator to the firing alert and to its notification (group_wait: 10 s)")
    for reaction in alerts.reactions():
        print(f"  scraped and evaluated every {reaction.interval} s each")
        print(f"    it fires         {alerts.spread(reaction.fires)}")
        print(f"    it is received   {alerts.spread(reaction.notified)}")
    print("\nthe alert rules over a simulated fleet")
    for name, value in alerts.figures().items():
        print(f"  {name} {value:.3f}")


PARTS = {
    "hangs": print_hangs,
    "otlp": print_otlp,
    "alerts": print_alerts,
    "dashboards": dashboards.report,
}

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
