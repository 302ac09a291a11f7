"""The scenario before the dashboards are queried: real guests on two hosts, one exporter; the test driver.

db      is killed twice and started again each time         web     panics and stays down
app     boots its crash kernel                              slow    hangs and recovers
stuck   hangs                                               full    has a full disk
dog     has an expired watchdog                             boots   reboots
saves   is saved and restored                               moves   migrates
lost    migrates, and its emulator dies on the other host   busy    is paused, resumed and shut down
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import yaml
from prometheus_client import start_http_server

from tests.dashboards.promql import RULES
from tests.journal.driver import Driver, xml
from tests.lab.daemon import Daemon, short_root
from tests.lab.domain_xml import Hardware
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter, free_port
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.hosts import Host, Hosts
from tests.lab.programs import Programs
from tests.lab.prometheus import Prometheus
from tests.lab.session_daemon import SessionDaemon
from tests.lab.system_daemon import SystemDaemon
from tests.otel.receiver_stub import ReceiverStub
from tests.qemu.disks import full
from tests.qemu.domain_driver import DomainDriver
from tests.qemu.hang_driver import SHORT_TIMEOUTS
from tests.qemu.migration_driver import MigrationDriver

TIMEOUT = 60.0
EVENTS = "libvirt_domain_lifecycle_events_total"

REGEX_NAME = "tested (2)+x.y"
"""libvirt accepts any name; this one is a regular expression that does not match itself."""
REMOVED = "gone"
"""A transient domain; its series expire before the end of the scenario."""
CRASHES = {"db": 2, "web": 1, "app": 1, REGEX_NAME: 1, REMOVED: 1}
"""Number of crashes per domain; the last two belong to the test driver."""
HANGS = {"slow": 1, "stuck": 1, "dog": 1}
STILL_HUNG = {"stuck", "dog"}
"""Domains that are still hung at the end."""
DISK_FULL = {"full"}
"""Domains that are still paused by a disk error at the end."""
FAILED_MIGRATION = {"lost"}
"""Domains that failed to start on the destination host of a migration."""

GUESTS = {
    "db": IDLE,
    "slow": IDLE,
    "stuck": IDLE,
    "saves": IDLE,
    "busy": Guest("powerbutton"),
    "web": Guest("panic", hardware=Hardware(panic=True, on_crash="destroy")),
    "app": Guest("crashload", hardware=Hardware(panic=True, on_crash="destroy")),
    "dog": Guest("watchdog", hardware=Hardware(watchdog="none")),
    "boots": Guest("reboot"),
    "full": Guest("write"),
}


@dataclass(frozen=True)
class ScenarioResult:
    """The scenario has ended, and Prometheus has scraped all of it."""

    prometheus: Prometheus
    qemu: Exporter
    driver: Exporter
    traces: ReceiverStub


@contextmanager
def start_prometheus(folder: Path, exporters: list[Exporter]) -> Iterator[Prometheus]:
    """Start a Prometheus with exemplars that scrapes and evaluates the recording rules every second.
    It has two more targets: another Python program, and one that does not exist."""
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    rules = folder / "rules.json"  # JSON is YAML
    rules.write_text(json.dumps({"groups": recording_rules()}))
    server, thread = start_http_server(0, "127.0.0.1")
    others = [f"127.0.0.1:{server.server_port}", f"127.0.0.1:{free_port()}"]
    try:
        with Prometheus(
            folder,
            [f"127.0.0.1:{exporter.port}" for exporter in exporters],
            features=["exemplar-storage"],
            jobs=[{"job_name": "other", "static_configs": [{"targets": others}]}],
            more={"global": every, "rule_files": [str(rules)]},
        ) as prometheus:
            yield prometheus
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recording_rules() -> list[dict[str, Any]]:
    """Return the recording rules without their intervals, which may be a minute."""
    found = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        rules = [rule for rule in group["rules"] if "record" in rule]
        found.append({"name": group["name"], "rules": rules})
    return found


def wait_up_to_date(prometheus: Prometheus) -> None:
    """Wait until Prometheus has scraped the current values and then evaluated the rules."""
    (_, now), *_ = prometheus.query("vector(time())")
    prometheus.wait_for(f"min(timestamp(libvirt_connection_up)) > {now}", TIMEOUT)
    prometheus.wait_for(f"min(timestamp(connection:libvirt_domain_state:sum)) > {now + 2}", TIMEOUT)


@contextmanager
def run_scenario(guests: Guests, programs: Programs) -> Iterator[ScenarioResult]:
    """Run the whole scenario; the guests keep their state until the context ends."""
    kind = SystemDaemon if os.getuid() == 0 else SessionDaemon
    with ExitStack() as stack:
        root = stack.enter_context(short_root())
        here = stack.enter_context(kind(root / "here", programs, hostname="here"))
        there = stack.enter_context(kind(root / "there", programs, hostname="there"))
        driver_daemon = stack.enter_context(SessionDaemon(root / "tester"))
        witness_here, witness_there = (stack.enter_context(EventRecorder(one.uri)) for one in (here, there))
        traces = stack.enter_context(ReceiverStub())
        qemu = stack.enter_context(
            Exporter(
                root,
                [f"here={here.uri}", f"there={there.uri}"],
                extra_args=SHORT_TIMEOUTS,
                environment={"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url},
            )
        )
        driver = stack.enter_context(
            Exporter(root, [driver_daemon.test_uri], extra_args=(*SHORT_TIMEOUTS, "--series.ttl", "3s"))
        )
        prometheus = stack.enter_context(start_prometheus(root, [qemu, driver]))
        wait_up_to_date(prometheus)
        hosts = Hosts(Host("here", here, witness_here), Host("there", there, witness_there), qemu)
        actions = GuestActions(here, witness_here, guests, prometheus)
        stack.callback(actions.close)
        actions.run()
        for name, guest, migrate in (
            ("moves", IDLE, MigrationDriver.migrate),
            ("lost", Guest("dirty"), _fail_migration),
        ):
            migration = MigrationDriver(name, guest, hosts, guests)
            stack.callback(migration.close)
            stack.callback(migration.clear)
            migration.boot()
            migrate(migration)
        _run_driver_scenario(driver_daemon, driver, prometheus)
        qemu.wait_until(lambda: qemu.lifecycle_counts("moves", "there")["started", "migrated"])
        qemu.wait_until(lambda: qemu.lifecycle_counts("lost", "there")["stopped", "failed"])
        wait_up_to_date(prometheus)
        yield ScenarioResult(prometheus, qemu, driver, traces)


class GuestActions:
    """The guests of one host and what happens to them."""

    def __init__(
        self, daemon: Daemon, recorder: EventRecorder, guests: Guests, prometheus: Prometheus
    ) -> None:
        self._prometheus = prometheus
        self._drivers = {
            name: DomainDriver(name, guest, daemon, guests, recorder) for name, guest in GUESTS.items()
        }

    def run(self) -> None:
        self._boot_all()
        for name, action in ACTIONS.items():
            action(self._drivers[name])
        self._signal("slow", signal.SIGSTOP)
        self._signal("stuck", signal.SIGSTOP)
        self._wait_for(f'{EVENTS}{{event="hung",domain="slow"}} > 0')
        self._wait_for(f'{EVENTS}{{event="hung",domain="stuck"}} > 0')
        self._signal("slow", signal.SIGCONT)
        self._kill_and_restart(1)
        self._kill_and_restart(2)
        self._wait_for(f'{EVENTS}{{event="recovered",domain="slow"}} > 0')
        for domain, kind in (("dog", "hung"), ("full", "io_error"), ("web", "crashed")):
            self._wait_for(f'libvirt_domain_incidents_total{{domain="{domain}",kind="{kind}"}} > 0')
        self._wait_for(f'{EVENTS}{{event="crashed",domain="app"}} > 0')

    def close(self) -> None:
        self._signal("stuck", signal.SIGCONT)
        for driver in self._drivers.values():
            driver.clear()
            driver.close()

    def _boot_all(self) -> None:
        for name in ("db", "slow", "stuck", "saves", "busy"):
            self._drivers[name].boot()

    def _kill_and_restart(self, count: int) -> None:
        """Wait until Prometheus has scraped the kill and the restart: two within one scrape would be one."""
        driver = self._drivers["db"]
        self._signal("db", signal.SIGKILL)
        self._wait_for(f'libvirt_domain_incidents_total{{domain="db",kind="crashed"}} == {count}')
        driver.domain.create()
        self._wait_for('libvirt_domain_incident_open{domain="db",kind="crashed"} == 0')

    def _signal(self, name: str, how: signal.Signals) -> None:
        self._drivers[name].signal_emulator(how)

    def _wait_for(self, expression: str) -> None:
        self._prometheus.wait_for(expression, TIMEOUT)


def _save_and_restore(driver: DomainDriver) -> None:
    driver.domain.managedSave()
    driver.domain.create()
    driver.wait_event("started/restored")


def _suspend_resume_and_shut_down(driver: DomainDriver) -> None:
    driver.domain.suspend()
    driver.domain.resume()
    driver.wait_serial("R")
    driver.domain.shutdown()
    driver.wait_event("stopped/shutdown")


def _boot_until(pair: str) -> Callable[[DomainDriver], None]:
    def action(driver: DomainDriver) -> None:
        driver.boot()
        driver.wait_event(pair)

    return action


def _fill_disk(driver: DomainDriver) -> None:
    driver.boot(second_disk=full(driver, "stop"))
    driver.wait_event("suspended/ioerror")


ACTIONS: dict[str, Callable[[DomainDriver], None]] = {
    "web": _boot_until("stopped/crashed"),
    "app": _boot_until("crashed/crashloaded"),
    "dog": _boot_until("watchdog/none"),
    "boots": _boot_until("rebooted/reset"),
    "full": _fill_disk,
    "saves": _save_and_restore,
    "busy": _suspend_resume_and_shut_down,
}


def _fail_migration(migration: MigrationDriver) -> None:
    job = migration.start_job()
    job.signal_destination(signal.SIGKILL)
    job.wait_failed()


def _run_driver_scenario(daemon: Daemon, exporter: Exporter, prometheus: Prometheus) -> None:
    """Restart libvirtd, crash a persistent and a transient domain, and restart the exporter."""
    daemon.restart()
    exporter.wait_until(lambda: (exporter.value("libvirt_connection_reconnects_total") or 0) >= 1, TIMEOUT)
    with Driver(daemon) as driver:
        driver.define("cycled")
        driver.cycle("cycled")
        driver.define(REGEX_NAME, running=True)
        driver.connection.createXML(xml(REMOVED))
        for name in (REGEX_NAME, REMOVED):
            exporter.wait_until(partial(_lifecycle_count, exporter, name, "started", "booted"))
            driver.find(name).coreDump(str(daemon.root / "core"), libvirt.VIR_DUMP_CRASH)
            exporter.wait_until(partial(_lifecycle_count, exporter, name, "stopped", "crashed"))
        incident_is_recorded = f'libvirt_domain_incidents_total{{domain="{REMOVED}",kind="crashed"}} == 1'
        prometheus.wait_for(incident_is_recorded, TIMEOUT)
        # The restarted exporter must not count the same events again.
        exporter.stop()
        exporter.start()
        exporter.wait_ready()
        exporter.wait_until(lambda: not exporter.lifecycle_counts(REMOVED), TIMEOUT)


def _lifecycle_count(exporter: Exporter, name: str, event: str, reason: str) -> int:
    return exporter.lifecycle_counts(name)[event, reason]
