"""What the rules cost: a real Prometheus that scrapes a simulated fleet, 1,000 hosts with 50 domains each."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from alerts.generator.__main__ import RULES
from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.fleet import Fleet, serving
from tests.lab.guests import Guests
from tests.lab.prometheus import Prometheus
from tests.lab.session import SessionDaemon
from tests.lab.waiting import until

HOSTS = int(os.environ.get("LAB_FLEET_HOSTS", "1000"))
DOMAINS = 50
INTERVAL = "30s"
WATCHED = float(os.environ.get("LAB_FLEET_SECONDS", "240"))
"""Seconds from the first complete scrape on; rules that look back for hours see this much of them."""


def figures() -> dict[str, float]:
    """By what they are of; times in seconds, the newest evaluation of each group."""
    fleet = Fleet(HOSTS, DOMAINS)
    found: dict[str, float] = {"hosts": HOSTS, "domains": HOSTS * DOMAINS}
    with short_root() as folder, serving(fleet) as port:
        more = {
            "global": {
                "scrape_interval": INTERVAL,
                "scrape_timeout": INTERVAL,
                "evaluation_interval": INTERVAL,
            },
            "rule_files": [str(RULES)],
        }
        with Prometheus(folder, [], scrape=fleet.job(port), more=more) as prometheus:
            prometheus.wait_for(f"count(libvirt_connection_up) == {HOSTS}", 300)
            threading.Event().wait(WATCHED)
            found["series"] = prometheus.ask("status/tsdb")["headStats"]["numSeries"]
            found["prometheus_rss_mib"] = _rss_mib(prometheus.pid)
            groups = prometheus.ask("rules")["groups"]
            for group in groups:
                found[f"evaluation of {group['name']}"] = group["evaluationTime"]
            rules = [rule for group in groups for rule in group["rules"]]
            for rule in sorted(rules, key=lambda rule: rule["evaluationTime"], reverse=True)[:5]:
                found[f"longest: {rule['name']}"] = rule["evaluationTime"]
            found["unhealthy rules"] = sum(rule["health"] != "ok" for rule in rules)
            found["alerts that fire"] = len(prometheus.query('ALERTS{alertstate="firing"}'))
            of_scrape = prometheus.query("sum(scrape_duration_seconds)")
            found["all pages scraped"] = of_scrape[0][1] if of_scrape else 0.0
    return found


KILLS = 10
APART = 0.73
"""Seconds between two of them, so that they fall anywhere between two scrapes."""


def reactions(intervals: tuple[int, ...] = (1, 5)) -> Iterator[tuple[int, list[float]]]:
    """For each scrape and evaluation interval: seconds from SIGKILL to an emulator until its alert fires."""
    names = [f"guest-{number}" for number in range(KILLS)]
    for interval in intervals:
        with (
            short_root() as folder,
            SessionDaemon(folder / "node") as daemon,
            Exporter(folder, [daemon.uri]) as exporter,
            Prometheus(
                folder,
                [f"127.0.0.1:{exporter.port}"],
                more={
                    "global": {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"},
                    "rule_files": [str(RULES)],
                },
            ) as prometheus,
        ):
            guests, connection = Guests(folder / "guests"), daemon.connect()
            for name in names:
                connection.createXML(guests.xml(name))
            prometheus.wait_for(f'count(libvirt_domain_state{{state="running"}} == 1) == {KILLS}')
            killed = {}
            for name in names:
                killed[name] = time.time()
                os.kill(daemon.emulator_pid(name), signal.SIGKILL)
                threading.Event().wait(APART)
            fired = until(lambda: _fired(prometheus, names), 60, "all alerts")
            connection.close()
            yield interval, [fired[name] - killed[name] for name in names]


def _fired(prometheus: Prometheus, names: list[str]) -> dict[str, float]:
    """When each of the alerts began to fire; nothing while one is missing."""
    began = {
        alert["labels"]["domain"]: datetime.fromisoformat(alert["activeAt"]).timestamp()
        for alert in prometheus.ask("alerts")["alerts"]
        if alert["labels"]["alertname"] == "LibvirtDomainCrashed"
    }
    return began if began.keys() >= set(names) else {}


def told(seconds: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(seconds):.2f} s (median), {min(seconds):.2f} to {max(seconds):.2f} s"


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
