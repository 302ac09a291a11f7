"""Every command of every runbook and of every alert works, on a domain that fares as the runbook says.

Capital words are the reader's to fill in, and ours to put real things for.
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
from tests.alerts.place import IMPATIENT, Place
from tests.lab.alertmanager import EXAMPLE, Alertmanager, Pager
from tests.lab.daemon import search_path, short_root
from tests.lab.domain_xml import Hardware
from tests.lab.exporter import Exporter
from tests.lab.guests import Guest, Guests
from tests.lab.programs import Programs
from tests.lab.prometheus import Prometheus
from tests.lab.session import SessionDaemon
from tests.lab.waiting import until

HERE = Path(__file__).parents[2]
RUNBOOKS = sorted((HERE / "alerts/runbooks").glob("*.md"))
LOGS = "/var/log/libvirt/qemu/"
COMMAND = "libvirt-lifecycle-exporter"
JOURNAL = "LIBVIRT_LIFECYCLE_EXPORTER_JOURNAL_PATH"
TAKES_AT_MOST = 60.0
"""To destroy an emulator that does not answer takes libvirt a while."""


class Desk(NamedTuple):
    """Where the reader sits."""

    place: Place
    words: dict[str, str]
    environment: dict[str, str]

    def run(self, command: str, domain: str, journal: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`journal`: another than the exporter's own."""
        for word, meant in {**self.words, "DOMAIN": domain}.items():
            command = command.replace(word, meant)
        return subprocess.run(
            ["sh", "-c", command],
            env={**self.environment, **({JOURNAL: str(journal)} if journal else {})},
            capture_output=True,
            text=True,
            timeout=TAKES_AT_MOST,
            check=False,
        )


def commands(runbook: Path) -> list[str]:
    return [line[2:] for line in runbook.read_text().splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def desk(guests: Guests, programs: Programs) -> Iterator[Desk]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_root())
        daemon = stack.enter_context(SessionDaemon(folder / "desk", programs))
        web = folder / "web.yml"
        web.write_text("http_server_config: {headers: {X-Frame-Options: deny}}\n")
        flags = (*IMPATIENT, "--web.config.file", str(web))
        exporter = stack.enter_context(Exporter(folder, [daemon.uri], extra_args=flags))
        pager = stack.enter_context(Pager())
        alertmanager = stack.enter_context(Alertmanager(folder, EXAMPLE.read_text()))
        prometheus = stack.enter_context(Prometheus(folder, [f"127.0.0.1:{exporter.port}"]))
        place = Place(daemon, guests, exporter, pager, alertmanager)
        stack.callback(place.close)
        (folder / "bin").mkdir()
        shim = folder / "bin" / COMMAND
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m libvirt_lifecycle_exporter "$@"\n')
        shim.chmod(0o755)
        yield Desk(
            place,
            {
                "HOST:10177": f"127.0.0.1:{exporter.port}",
                "PROMETHEUS:9090": f"127.0.0.1:{prometheus.port}",
                "ALERTMANAGER:9093": f"127.0.0.1:{alertmanager.port}",
                LOGS: f"{daemon.root}/cache/libvirt/qemu/log/",
            },
            {
                # pytest's own processes have COLUMNS, and tables keep to it.
                **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
                "PATH": f"{folder / 'bin'}:{search_path()}",
                "LIBVIRT_DEFAULT_URI": daemon.uri,
                "LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI": daemon.uri,
                "LIBVIRT_LIFECYCLE_EXPORTER_WEB_CONFIG_FILE": str(web),
                JOURNAL: str(exporter.journal.path),
            },
        )


def runs(place: Place, name: str, guest: Guest | None = None) -> Any:
    domain = place.define(name, guest or Guest())
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["started", "booted"])
    return domain


def killed(place: Place, name: str) -> None:
    runs(place, name)
    place.emulators_get(signal.SIGKILL, [name])
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["stopped", "crashed"])


def stopped(place: Place, name: str) -> None:
    runs(place, name)
    place.emulators_get(signal.SIGSTOP, [name])
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["hung", "emulator"])


def suspended(place: Place, name: str) -> None:
    runs(place, name).suspend()
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["suspended", "paused"])


def full(place: Place, name: str) -> None:
    place.define(name, Guest("write", hardware=place.full_disk()))
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["suspended", "ioerror"])


def unfed(place: Place, name: str) -> None:
    place.define(name, Guest("watchdog", hardware=Hardware(watchdog="pause")))
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["suspended", "watchdog"])


def restarted(place: Place, name: str) -> None:
    domain = runs(place, name)
    domain.destroy()
    domain.create()
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts(name)["started", "booted"] == 2)


FARES: dict[str, Callable[[Place, str], Any]] = {
    "LibvirtDomainCrashed": killed,
    "LibvirtDomainCrashLooping": killed,
    "LibvirtDomainOutage": killed,
    "LibvirtDomainStartFailed": killed,
    "LibvirtDomainFlapping": restarted,
    "LibvirtDomainHung": stopped,
    "LibvirtDomainStuckPaused": suspended,
    "LibvirtDomainPausedOnIOError": full,
    "LibvirtDomainWatchdogFired": unfed,
}
"""How the domain of a runbook fares; it runs if nothing is said here."""
UNMOVED = "nothing in "
"""What the history says of migrations: one host alone has none."""


def judge(done: subprocess.CompletedProcess[str], command: str, alert: str, domain: str) -> None:
    """It works, and has something to say of this domain."""
    unmoved = "--reason migrated" in command and done.stderr.startswith(UNMOVED)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert not done.stderr or unmoved, command
    assert done.stdout or unmoved or command.startswith("virsh"), f"{command} had nothing to say"
    if command.startswith(f"{COMMAND} events") and FARES.get(alert):
        assert domain in done.stdout, command


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda runbook: runbook.stem)
def test_runbook_commands_succeed(runbook: Path, desk: Desk) -> None:
    name = f"of-{runbook.stem}"
    wanted = commands(runbook)
    assert wanted
    if any("DOMAIN" in command for command in wanted):
        FARES.get(runbook.stem, runs)(desk.place, name)
    try:
        for command in wanted:
            judge(desk.run(command, name), command, runbook.stem, name)
    finally:
        desk.place.removes(name)


LAST_FOR_DAYS = {
    "LibvirtDomainHung",
    "LibvirtDomainOutage",
    "LibvirtDomainPausedOnIOError",
    "LibvirtDomainPostcopyFailed",
    "LibvirtDomainStuckPaused",
    "LibvirtDomainStuckShuttingDown",
}
"""Alerts about a state: what led to it may be long ago."""
DAYS = 3 * 86400.0


def told(alert: str) -> str:
    """The command as Prometheus writes it, by the alert's stories; in the runbooks' capital words."""
    stories = yaml.safe_load((HERE / f"alerts/tests/{alert}.test.yaml").read_text())["tests"]
    told = next(one for story in stories for one in story.get("alert_rule_test", ()))["exp_alerts"][0]
    command = str(told["exp_annotations"]["command"])
    for word, meant in (("node1", "HOST"), ("localhost", "PROMETHEUS"), ("web-1", "DOMAIN")):
        command = command.replace(word, meant)
    return command


def days_later(journal: Path, folder: Path) -> Path:
    """A copy in which everything happened days ago."""
    copy = folder / "old.sqlite"
    with (
        closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as old,
    ):
        source.backup(old)
        old.execute("UPDATE transitions SET at = at - ?", (DAYS,))
        old.execute("UPDATE incidents SET opened_at = opened_at - ?", (DAYS,))
        old.commit()
    return copy


@pytest.mark.parametrize("alert", ALERTS)
def test_annotated_command_succeeds(alert: str, desk: Desk, tmp_path: Path) -> None:
    name = f"told-{alert}"
    command = told(alert).replace("qemu:///system", desk.place.daemon.uri)
    if "DOMAIN" in command:
        FARES.get(alert, runs)(desk.place, name)
    try:
        journal = desk.place.exporter.journal.path
        old = days_later(journal, tmp_path) if alert in LAST_FOR_DAYS else None
        judge(desk.run(command, name, old), command, alert, name)
    finally:
        desk.place.removes(name)


def test_outage_mitigation_closes_the_incident(desk: Desk) -> None:
    """Started again, the domain runs, and its incident is over."""
    killed(desk.place, "mended")
    assert "mended" in desk.run(f"{COMMAND} incidents --open --domain DOMAIN", "mended").stdout
    (start,) = [one for one in commands(RUNBOOKS[0].with_name("LibvirtDomainOutage.md")) if "start" in one]
    assert desk.run(start, "mended").returncode == 0
    until(
        lambda: "mended" not in desk.run(f"{COMMAND} incidents --open --domain DOMAIN", "mended").stdout,
        30,
        "the incident to be over",
    )
    desk.place.removes("mended")
