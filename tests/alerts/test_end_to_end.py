"""From a killed emulator to the pager: libvirt, QEMU, exporter, Prometheus and Alertmanager are all real.

Each scenario has its own host, so that notifications about a host result from its scenario. All scenarios run
at the same time.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from alerts.generator.rules import groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from tests.alerts.alert_host import SHORT_INTERVALS, TIMEOUT, AlertHost
from tests.alerts.scenarios import SCENARIOS, THRESHOLDS, Notification, Scenario
from tests.lab.alertmanager import EXAMPLE, RECEIVER, Alertmanager, Pager, ReceivedAlert
from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guests
from tests.lab.hosts import Hosts
from tests.lab.programs import Programs
from tests.lab.prometheus import Prometheus
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until
from tests.qemu.migration_driver import MigrationDriver

pytestmark = pytest.mark.timeout(400)

INTERVAL = "1s"
MIGRATED_DOMAIN = "alerts-move"
DURATION = re.compile(r"\b[0-9][0-9.]*(m|m?s)\b")
"""Minutes, seconds and milliseconds as Prometheus formats them. 0s: the event happened after the time
for which the rule was evaluated, and was still in the scrape."""


class EndToEndRun(NamedTuple):
    alert_hosts: dict[str, AlertHost]
    scenario_futures: dict[str, Future[None]]
    migration_future: Future[None]
    pager: Pager
    still_active: list[str]
    """Alerts that were still active after all scenarios."""


@pytest.fixture(scope="module")
def run(guests: Guests, programs: Programs, hosts: Hosts) -> Iterator[EndToEndRun]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_root())
        pager = stack.enter_context(Pager())
        example = EXAMPLE.read_text()
        assert RECEIVER in example
        alertmanager = stack.enter_context(Alertmanager(folder, example.replace(RECEIVER, pager.url)))
        alert_hosts = {}
        for scenario in SCENARIOS:
            daemon = stack.enter_context(SessionDaemon(folder / scenario.name, programs))
            exporter = stack.enter_context(Exporter(folder, [daemon.uri], extra_args=SHORT_INTERVALS))
            alert_hosts[scenario.name] = AlertHost(daemon, guests, exporter, pager, alertmanager)
            stack.callback(alert_hosts[scenario.name].close)
        own = folder / "thresholds.toml"
        own.write_text(THRESHOLDS)
        rules = folder / "rules.yaml"
        rules.write_text(document(groups(load(own))))
        ports = [hosts.exporter.port, *(host.exporter.port for host in alert_hosts.values())]
        prometheus = stack.enter_context(
            Prometheus(
                folder,
                [f"127.0.0.1:{port}" for port in ports],
                scrape={"job_name": "libvirt-lifecycle"},
                more={
                    "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
                    "rule_files": [str(rules)],
                    "alerting": alertmanager.alerting,
                },
            )
        )
        prometheus.wait_for(f"count(up == 1) == {len(ports)}")
        with ThreadPoolExecutor(len(SCENARIOS) + 1) as executor:
            scenario_futures = {
                scenario.name: executor.submit(scenario.run, alert_hosts[scenario.name])
                for scenario in SCENARIOS
            }
            migration_future = executor.submit(_migrate_and_back, hosts, guests)
        still_active = _wait_until_resolved(prometheus, alertmanager)
        yield EndToEndRun(alert_hosts, scenario_futures, migration_future, pager, still_active)


def _migrate_and_back(hosts: Hosts, guests: Guests) -> None:
    migration = MigrationDriver(MIGRATED_DOMAIN, IDLE, hosts, guests)
    try:
        migration.boot()
        migration.migrate()
        migration.migrate_back()
    finally:
        migration.clear()
        migration.close()


def _wait_until_resolved(prometheus: Prometheus, alertmanager: Alertmanager) -> list[str]:
    """Wait until no alert is active; return the labels of those that still are after the timeout."""
    try:
        until(
            lambda: not prometheus.query("ALERTS") and not alertmanager.alerts(),
            TIMEOUT,
            "all alerts to resolve",
        )
    except TimeoutError:
        return [json.dumps(alert["labels"]) for alert in alertmanager.alerts()]
    return []


def summarize(alerts_received: list[ReceivedAlert]) -> list[Notification]:
    """Return status, alert and domains of each notification."""
    numbers = dict.fromkeys(one.notification for one in alerts_received)
    found: list[Notification] = []
    for number in numbers:
        alerts = [one for one in alerts_received if one.notification == number]
        for status, name in dict.fromkeys((one.status, one.name) for one in alerts):
            domains = {
                one.labels["domain"] for one in alerts if "domain" in one.labels and one.status == status
            }
            found.append((status, name, frozenset(domains)))
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_pager_receives_exactly_the_expected_notifications(run: EndToEndRun, scenario: Scenario) -> None:
    run.scenario_futures[scenario.name].result()
    alerts_received = run.alert_hosts[scenario.name].notifications()
    assert summarize(alerts_received) == list(scenario.notifications)
    if scenario.reason:
        assert alerts_received[0].labels["reason"] == scenario.reason
    for one in alerts_received:
        assert one.annotations["runbook_url"].endswith(f"/{one.name}.md")
        assert run.alert_hosts[scenario.name].instance in one.annotations["summary"]
        assert DURATION.search(one.annotations["summary"]) or "domain" not in one.labels
        assert not [
            text for text in one.annotations.values() if "<" in text
        ]  # "<no value>" or an error of the template


@pytest.mark.parametrize(
    "scenario", [scenario for scenario in SCENARIOS if scenario.reason], ids=lambda scenario: scenario.name
)
def test_annotated_command_shows_the_domain(run: EndToEndRun, scenario: Scenario) -> None:
    run.scenario_futures[scenario.name].result()
    host = run.alert_hosts[scenario.name]
    for one in host.notifications():
        program, *words = shlex.split(one.annotations["command"])
        assert program == "libvirt-lifecycle-exporter"
        journal = ("--journal.path", str(host.exporter.journal.path))
        done = subprocess.run(
            [sys.executable, "-m", "libvirt_lifecycle_exporter", *words, *journal],
            capture_output=True,
            text=True,
            check=True,
        )
        is_over = "--open" in words
        assert is_over or one.labels["domain"] in done.stdout


def test_migration_sends_no_notification(run: EndToEndRun, hosts: Hosts) -> None:
    run.migration_future.result()
    counts = hosts.exporter.lifecycle_counts(MIGRATED_DOMAIN)
    assert counts["started", "migrated"] == counts["stopped", "migrated"] == 2
    assert [one for one in run.pager.received if one.labels.get("connection") in ("here", "there")] == []


def test_all_alerts_resolve_and_no_others_were_sent(run: EndToEndRun) -> None:
    assert run.still_active == []
    known = {host.instance for host in run.alert_hosts.values()}
    assert [one.labels for one in run.pager.received if one.labels.get("instance") not in known] == []


def test_notification_delay_is_printed(run: EndToEndRun) -> None:
    """Print the delays; only the notification itself is required."""
    host = run.alert_hosts["killed"]
    first = next(one for one in host.notifications() if one.status == "firing")
    print(
        f"\nkilled: the alert fires after {first.starts_at - host.killed_at:.2f} s "
        f"(scrape and evaluation interval: 1 s each), the pager is notified after "
        f"{first.at - host.killed_at:.2f} s (group_wait: 10 s)"
    )
    assert first.at > host.killed_at
