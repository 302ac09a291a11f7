"""Size of the dashboards, and the time of their queries over a simulated fleet of 1,000 hosts.

python -m tests.bench.dashboards
"""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.dashboards.dashboard_files import UIDS, all_queries, classic, panels
from tests.dashboards.grafana import Grafana
from tests.dashboards.linter import RULES as LINTED
from tests.dashboards.promql import RULES
from tests.lab.fleet import Fleet, serving
from tests.lab.prometheus import Prometheus

HOSTS = int(os.environ.get("LAB_FLEET_HOSTS", "1000"))
DOMAINS = 50
HISTORY = float(os.environ.get("LAB_FLEET_SECONDS", "240"))
"""Seconds of history before the queries."""
SCRAPE = 30.0
ROUNDS = 3


class QueryTime(NamedTuple):
    what: str
    seconds: float
    """Minimum of several rounds: the machine has other load."""
    rows: int


def figures() -> list[QueryTime]:
    """Measure every query and variable; return the slowest first."""
    fleet = Fleet(HOSTS, DOMAINS)
    every = {"scrape_interval": f"{SCRAPE:g}s", "scrape_timeout": "20s", "evaluation_interval": "30s"}
    with tempfile.TemporaryDirectory() as folder, serving(fleet) as port:
        more = {"global": every, "rule_files": [str(RULES)]}
        scrape = fleet.job(port)
        with Prometheus(Path(folder), [], scrape=scrape, more=more) as prometheus:
            began = time.time()
            prometheus.wait_for(f"count(libvirt_connection_up) == {HOSTS}", 300)
            time.sleep(max(0.0, HISTORY - (time.time() - began)))
            return _measure(prometheus, began)


def _measure(prometheus: Prometheus, began: float) -> list[QueryTime]:
    grafana = Grafana(prometheus, since=began, scrape=SCRAPE, chosen={"domain": "vm-0002-00"})
    found = []
    for uid in UIDS:
        started = time.perf_counter()
        values = grafana.variables(uid)
        found.append(QueryTime(f"{uid}: its variables, together", time.perf_counter() - started, len(values)))
    for query in all_queries():
        took, rows = [], 0
        for _ in range(ROUNDS):
            started = time.perf_counter()
            rows = len(grafana.run_query(query, include_future=True))
            took.append(time.perf_counter() - started)
        found.append(QueryTime(str(query), min(took), rows))
    return sorted(found, key=lambda one: one.seconds, reverse=True)


def report() -> None:
    boards = [classic(uid) for uid in UIDS]
    findings = [finding for rule in LINTED for board in boards for finding in rule(board)]
    queries = all_queries()
    print(f"\nthe dashboards: {len(boards)}, {sum(len(panels(board)) for board in boards)} panels,")
    print(f"  {len(queries)} queries, {len(findings)} findings of {len(LINTED)} rules of the linter")
    found = figures()
    empty = [one.what for one in found if not one.rows]
    answered = 1 - len(empty) / len(found)
    print(f"over a simulated fleet of {HOSTS} hosts with {DOMAINS} domains, the last {HISTORY:.0f} s:")
    print(f"  {answered:.0%} have data (over real guests: see tests/dashboards)")
    print(f"  without any: {', '.join(empty) or 'none'}")
    print(f"  {len(found)} queries and sets of variables in {sum(one.seconds for one in found):.2f} s")
    print("  the slowest:")
    for one in found[:8]:
        print(f"  {one.seconds * 1000:7.0f} ms {one.what} ({one.rows} rows)")


if __name__ == "__main__":
    report()
