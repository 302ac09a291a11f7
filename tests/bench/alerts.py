"""What the rules cost: a real Prometheus that scrapes a simulated fleet, 1,000 hosts with 50 domains each."""

import os
import threading
from pathlib import Path

from alerts.generator.__main__ import RULES
from tests.lab.daemon import short_root
from tests.lab.fleet import Fleet, serving
from tests.lab.prometheus import Prometheus

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


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
