"""Every command of every runbook and alert works on a domain that is in the state the runbook describes.

The tests replace the placeholders of the runbooks, words in capitals, with real values.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from alerts.generator.rules import ALERTS
from tests.alerts.alert_host import SHORT_INTERVALS, AlertHost
from tests.lab.alertmanager import EXAMPLE, Alertmanager, Pager
from tests.lab.daemon import search_path, short_root
from tests.lab.domain_xml import Hardware
from tests.lab.exporter import Exporter
from tests.lab.guests import Guest, Guests
from tests.lab.programs import Programs
from tests.lab.prometheus import Prometheus
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until

ROOT = Path(__file__).parents[2]
RUNBOOKS = sorted((ROOT / "alerts/runbooks").glob("*.md"))
LOGS = "/var/log/libvirt/qemu/"
COMMAND = "libvirt-lifecycle-exporter"
JOURNAL = "LIBVIRT_LIFECYCLE_EXPORTER_JOURNAL_PATH"
TIMEOUT = 60.0
"""Seconds: libvirt needs some time to destroy an emulator that does not respond."""


class CommandRunner(NamedTuple):
    """Runs commands of runbooks, with placeholders and environment of one host."""

    host: AlertHost
    placeholders: dict[str, str]
    environment: dict[str, str]

    def run(self, command: str, domain: str, journal: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`journal`: read this journal instead of that of the exporter."""
        for word, value in {**self.placeholders, "DOMAIN": domain}.items():
            command = command.replace(word, value)
        return subprocess.run(
            ["sh", "-c", command],
            env={**self.environment, **({JOURNAL: str(journal)} if journal else {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )


def commands(runbook: Path) -> list[str]:
    return [line[2:] for line in runbook.read_text().splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def runner(guests: Guests, programs: Programs) -> Iterator[CommandRunner]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_root())
        daemon = stack.enter_context(SessionDaemon(folder / "daemon", programs))
        web = folder / "web.yml"
        web.write_text("http_server_config: {headers: {X-Frame-Options: deny}}\n")
        flags = (*SHORT_INTERVALS, "--web.config.file", str(web))
        exporter = stack.enter_context(Exporter(folder, [daemon.uri], extra_args=flags))
        pager = stack.enter_context(Pager())
        alertmanager = stack.enter_context(Alertmanager(folder, EXAMPLE.read_text()))
        prometheus = stack.enter_context(Prometheus(folder, [f"127.0.0.1:{exporter.port}"]))
        host = AlertHost(daemon, guests, exporter, pager, alertmanager)
        stack.callback(host.close)
        (folder / "bin").mkdir()
        command_script = folder / "bin" / COMMAND
        command_script.write_text(f'#!/bin/sh\nexec {sys.executable} -m libvirt_lifecycle_exporter "$@"\n')
        command_script.chmod(0o755)
        yield CommandRunner(
            host,
            {
                "HOST:10177": f"127.0.0.1:{exporter.port}",
                "PROMETHEUS:9090": f"127.0.0.1:{prometheus.port}",
                "ALERTMANAGER:9093": f"127.0.0.1:{alertmanager.port}",
                LOGS: f"{daemon.root}/cache/libvirt/qemu/log/",
            },
            {
                # pytest may set COLUMNS, which limits the width of tables.
                **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
                "PATH": f"{folder / 'bin'}:{search_path()}",
                "LIBVIRT_DEFAULT_URI": daemon.uri,
                "LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI": daemon.uri,
                "LIBVIRT_LIFECYCLE_EXPORTER_WEB_CONFIG_FILE": str(web),
                JOURNAL: str(exporter.journal.path),
            },
        )


def start_domain(host: AlertHost, name: str, guest: Guest | None = None) -> Any:
    domain = host.define(name, guest or Guest())
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["started", "booted"])
    return domain


def kill_emulator(host: AlertHost, name: str) -> None:
    start_domain(host, name)
    host.signal_emulators(signal.SIGKILL, [name])
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["stopped", "crashed"])


def stop_emulator(host: AlertHost, name: str) -> None:
    start_domain(host, name)
    host.signal_emulators(signal.SIGSTOP, [name])
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["hung", "emulator"])


def suspend_domain(host: AlertHost, name: str) -> None:
    start_domain(host, name).suspend()
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["suspended", "paused"])


def fill_disk(host: AlertHost, name: str) -> None:
    host.define(name, Guest("write", hardware=host.full_disk()))
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["suspended", "ioerror"])


def expire_watchdog(host: AlertHost, name: str) -> None:
    host.define(name, Guest("watchdog", hardware=Hardware(watchdog="pause")))
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["suspended", "watchdog"])


def restart_domain(host: AlertHost, name: str) -> None:
    domain = start_domain(host, name)
    domain.destroy()
    domain.create()
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts(name)["started", "booted"] == 2)


PREPARATIONS: dict[str, Callable[[AlertHost, str], Any]] = {
    "LibvirtDomainCrashed": kill_emulator,
    "LibvirtDomainCrashLooping": kill_emulator,
    "LibvirtDomainOutage": kill_emulator,
    "LibvirtDomainStartFailed": kill_emulator,
    "LibvirtDomainFlapping": restart_domain,
    "LibvirtDomainHung": stop_emulator,
    "LibvirtDomainStuckPaused": suspend_domain,
    "LibvirtDomainPausedOnIOError": fill_disk,
    "LibvirtDomainWatchdogFired": expire_watchdog,
}
"""How the test prepares the domain for a runbook; by default, the domain just runs."""
NO_MIGRATIONS = "no matching entries in "
"""Message if the journal has no migrations: a single host has none."""


def check_result(done: subprocess.CompletedProcess[str], command: str, alert: str, domain: str) -> None:
    """Check that a command succeeded and printed something about the domain."""
    has_no_migrations = "--reason migrated" in command and done.stderr.startswith(NO_MIGRATIONS)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert not done.stderr or has_no_migrations, command
    assert done.stdout or has_no_migrations or command.startswith("virsh"), f"{command} printed nothing"
    if command.startswith(f"{COMMAND} events") and PREPARATIONS.get(alert):
        assert domain in done.stdout, command


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda runbook: runbook.stem)
def test_runbook_commands_succeed(runbook: Path, runner: CommandRunner) -> None:
    name = f"of-{runbook.stem}"
    command_lines = commands(runbook)
    assert command_lines
    if any("DOMAIN" in command for command in command_lines):
        PREPARATIONS.get(runbook.stem, start_domain)(runner.host, name)
    try:
        for command in command_lines:
            check_result(runner.run(command, name), command, runbook.stem, name)
    finally:
        runner.host.remove(name)


LONG_LASTING = {
    "LibvirtDomainHung",
    "LibvirtDomainOutage",
    "LibvirtDomainPausedOnIOError",
    "LibvirtDomainPostcopyFailed",
    "LibvirtDomainStuckPaused",
    "LibvirtDomainStuckShuttingDown",
}
"""Alerts about a state, whose cause may be days old."""
AGE = 3 * 86400.0


def annotated_command(alert: str) -> str:
    """Return the command in the annotations of an alert, with the placeholders of the runbooks."""
    rule_tests = yaml.safe_load((ROOT / f"alerts/tests/{alert}.test.yaml").read_text())["tests"]
    alert_test = next(one for rule_test in rule_tests for one in rule_test.get("alert_rule_test", ()))
    command = str(alert_test["exp_alerts"][0]["exp_annotations"]["command"])
    for word, value in (("node1", "HOST"), ("localhost", "PROMETHEUS"), ("web-1", "DOMAIN")):
        command = command.replace(word, value)
    return command


def age_journal(journal: Path, folder: Path) -> Path:
    """Return a copy of the journal in which everything happened days ago."""
    copy = folder / "old.sqlite"
    with (
        closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as old,
    ):
        source.backup(old)
        old.execute("UPDATE transitions SET at = at - ?", (AGE,))
        old.execute("UPDATE incidents SET opened_at = opened_at - ?", (AGE,))
        old.commit()
    return copy


@pytest.mark.parametrize("alert", ALERTS)
def test_annotated_command_succeeds(alert: str, runner: CommandRunner, tmp_path: Path) -> None:
    name = f"alert-{alert}"
    command = annotated_command(alert).replace("qemu:///system", runner.host.daemon.uri)
    if "DOMAIN" in command:
        PREPARATIONS.get(alert, start_domain)(runner.host, name)
    try:
        journal = runner.host.exporter.journal.path
        old = age_journal(journal, tmp_path) if alert in LONG_LASTING else None
        check_result(runner.run(command, name, old), command, alert, name)
    finally:
        runner.host.remove(name)


def test_outage_mitigation_closes_the_incident(runner: CommandRunner) -> None:
    """The documented start command closes the incident."""
    kill_emulator(runner.host, "mitigated")
    assert "mitigated" in runner.run(f"{COMMAND} incidents --open --domain DOMAIN", "mitigated").stdout
    (start,) = [one for one in commands(RUNBOOKS[0].with_name("LibvirtDomainOutage.md")) if "start" in one]
    assert runner.run(start, "mitigated").returncode == 0
    until(
        lambda: (
            "mitigated" not in runner.run(f"{COMMAND} incidents --open --domain DOMAIN", "mitigated").stdout
        ),
        30,
        "the incident to be closed",
    )
    runner.host.remove("mitigated")
