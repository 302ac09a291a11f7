"""Cost of the alert rules in a Prometheus that scrapes a simulated fleet of 1,000 hosts with 50 domains
each.
"""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from alerts.generator.__main__ import RULES
from alerts.generator.rules import groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from tests.lab.alertmanager import EXAMPLE, RECEIVER, Alertmanager, Pager
from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.fleet import Fleet, serving
from tests.lab.guests import Guests
from tests.lab.prometheus import Prometheus
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until

HOSTS = int(os.environ.get("LAB_FLEET_HOSTS", "1000"))
DOMAINS = 50
INTERVAL = "30s"
WATCHED = float(os.environ.get("LAB_FLEET_SECONDS", "240"))
"""Seconds from the first complete scrape on: the history that the rules see."""


def figures() -> dict[str, float]:
    """Return the figures by name; times in seconds, of the newest evaluation of each group."""
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
            rule_groups = prometheus.ask("rules")["groups"]
            for group in rule_groups:
                found[f"evaluation of {group['name']}"] = group["evaluationTime"]
            rules = [rule for group in rule_groups for rule in group["rules"]]
            for rule in sorted(rules, key=lambda rule: rule["evaluationTime"], reverse=True)[:5]:
                found[f"longest: {rule['name']}"] = rule["evaluationTime"]
            found["unhealthy rules"] = sum(rule["health"] != "ok" for rule in rules)
            found["alerts that fire"] = len(prometheus.query('ALERTS{alertstate="firing"}'))
            of_scrape = prometheus.query("sum(scrape_duration_seconds)")
            found["all pages scraped"] = of_scrape[0][1] if of_scrape else 0.0
    return found


KILLS = 10
KILL_INTERVAL = 0.73
"""Seconds between two kills, so that they are spread over the scrape interval."""
OVERRIDES = '[LibvirtHostCrashBurst]\nseverity = "off"\n'
"""Without this override one alert would replace those of the single kills."""
GROUPS = "group_by: [alertname, job, instance, connection]"


class ReactionTime(NamedTuple):
    """Seconds from the SIGKILL of each emulator."""

    interval: int
    """Scrape and evaluation interval in seconds."""
    fires: list[float]
    """Until the alert fires in Prometheus."""
    notified: list[float]
    """Until the notification arrives; includes `group_wait` of the example configuration."""


def reactions(intervals: tuple[int, ...] = (1, 5)) -> Iterator[ReactionTime]:
    """Measure with one notification per alert; otherwise later alerts would wait for the group of the
    first.
    """
    example = EXAMPLE.read_text()
    assert RECEIVER in example
    assert GROUPS in example
    for interval in intervals:
        with short_root() as folder:
            yield _reaction(folder, interval, example.replace(GROUPS, "group_by: ['...']"))


def _reaction(folder: Path, interval: int, example: str) -> ReactionTime:
    names = [f"guest-{number}" for number in range(KILLS)]
    (folder / "own.toml").write_text(OVERRIDES)
    (folder / "rules.yaml").write_text(document(groups(load(folder / "own.toml"))))
    with ExitStack() as stack:
        daemon = stack.enter_context(SessionDaemon(folder / "node"))
        exporter = stack.enter_context(Exporter(folder, [daemon.uri]))
        pager = stack.enter_context(Pager())
        alertmanager = stack.enter_context(Alertmanager(folder, example.replace(RECEIVER, pager.url)))
        more = {
            "global": {"scrape_interval": f"{interval}s", "evaluation_interval": f"{interval}s"},
            "rule_files": [str(folder / "rules.yaml")],
            "alerting": alertmanager.alerting,
        }
        prometheus = stack.enter_context(Prometheus(folder, [f"127.0.0.1:{exporter.port}"], more=more))
        guests, connection = Guests(folder / "guests"), daemon.connect()
        stack.callback(connection.close)
        for name in names:
            connection.createXML(guests.xml(name))
        prometheus.wait_for(f'count(libvirt_domain_state{{state="running"}} == 1) == {KILLS}')
        killed = {}
        for name in names:
            killed[name] = time.time()
            os.kill(daemon.emulator_pid(name), signal.SIGKILL)
            threading.Event().wait(KILL_INTERVAL)
        fired = until(lambda: _fired(prometheus, names), 60, "all alerts")
        notified = until(lambda: _notified(pager, names), 60, "all notifications")
    return ReactionTime(
        interval,
        [fired[name] - killed[name] for name in names],
        [notified[name] - killed[name] for name in names],
    )


def _fired(prometheus: Prometheus, names: list[str]) -> dict[str, float]:
    """Return when each alert began to fire; empty while one is missing."""
    began = {
        alert["labels"]["domain"]: datetime.fromisoformat(alert["activeAt"]).timestamp()
        for alert in prometheus.ask("alerts")["alerts"]
        if alert["labels"]["alertname"] == "LibvirtDomainCrashed"
    }
    return began if began.keys() >= set(names) else {}


def _notified(pager: Pager, names: list[str]) -> dict[str, float]:
    """Return when the notification of each alert arrived; empty while one is missing."""
    notified = {one.labels["domain"]: one.at for one in reversed(pager.received) if one.status == "firing"}
    return notified if notified.keys() >= set(names) else {}


def spread(seconds: list[float]) -> str:
    """Format median, minimum and maximum."""
    return f"{statistics.median(seconds):.2f} s (median), {min(seconds):.2f} to {max(seconds):.2f} s"


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
