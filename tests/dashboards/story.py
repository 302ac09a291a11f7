"""What real guests live through before the dashboards are asked: two hosts, one exporter; the test driver.

db      is killed twice, and started again each time        web     panics, and stays down
app     boots its crash kernel                              slow    hangs, and recovers
stuck   hangs                                               full    has no room on its disk
dog     lets its watchdog run out                           boots   reboots
saves   is saved, and restored                              moves   migrates
lost    migrates, and its emulator over there dies          busy    is paused, resumed and shut down
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

from tests.dashboards.selectors import RULES
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

PATIENCE = 60.0
EVENTS = "libvirt_domain_lifecycle_events_total"

TESTED = "tested (2)+x.y"
"""libvirt takes any name; this one is a regular expression that does not match itself."""
GONE = "gone"
"""Exists only while it runs; its series are gone before the end, too."""
CRASHES = {"db": 2, "web": 1, "app": 1, TESTED: 1, GONE: 1}
"""How often each crashes; the last two are the test driver's."""
HANGS = {"slow": 1, "stuck": 1, "dog": 1}
HUNG = {"stuck", "dog"}
"""Still, at the end."""
FULL = {"full"}
"""Held up by a disk; still, at the end."""
LOST = {"lost"}
"""Failed to arrive; on the host where it was never missed."""

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
class Lived:
    """It is over, and Prometheus knows all of it."""

    prometheus: Prometheus
    qemu: Exporter
    driver: Exporter
    traces: ReceiverStub


@contextmanager
def watching(folder: Path, exporters: list[Exporter]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes every second, evaluates the recording rules as often, and keeps exemplars.
    It scrapes others, too: one that has the metrics of any Python program, and one that is not there."""
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    rules = folder / "rules.json"  # JSON is YAML
    rules.write_text(json.dumps({"groups": recordings()}))
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


def recordings() -> list[dict[str, Any]]:
    """The recording rules, at the pace of a test: theirs may be a minute."""
    found = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        rules = [rule for rule in group["rules"] if "record" in rule]
        found.append({"name": group["name"], "rules": rules})
    return found


def is_up_to_date(prometheus: Prometheus) -> None:
    """Returns when all that was shown by now has been scraped, and the rules were evaluated after that."""
    (_, now), *_ = prometheus.query("vector(time())")
    prometheus.wait_for(f"min(timestamp(libvirt_connection_up)) > {now}", PATIENCE)
    prometheus.wait_for(f"min(timestamp(connection:libvirt_domain_state:sum)) > {now + 2}", PATIENCE)


@contextmanager
def lived(guests: Guests, programs: Programs) -> Iterator[Lived]:
    """All of it; the guests stay as they are until the end."""
    kind = SystemDaemon if os.getuid() == 0 else SessionDaemon
    with ExitStack() as stack:
        root = stack.enter_context(short_root())
        here = stack.enter_context(kind(root / "here", programs, hostname="here"))
        there = stack.enter_context(kind(root / "there", programs, hostname="there"))
        tester = stack.enter_context(SessionDaemon(root / "tester"))
        seen_here, seen_there = (stack.enter_context(EventRecorder(one.uri)) for one in (here, there))
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
            Exporter(root, [tester.test_uri], extra_args=(*SHORT_TIMEOUTS, "--series.ttl", "3s"))
        )
        prometheus = stack.enter_context(watching(root, [qemu, driver]))
        is_up_to_date(prometheus)
        hosts = Hosts(Host("here", here, seen_here), Host("there", there, seen_there), qemu)
        cast = Cast(here, seen_here, guests, prometheus)
        stack.callback(cast.leaves)
        cast.plays()
        for name, guest, moves in (
            ("moves", IDLE, MigrationDriver.migrate),
            ("lost", Guest("dirty"), _is_lost),
        ):
            migration = MigrationDriver(name, guest, hosts, guests)
            stack.callback(migration.close)
            stack.callback(migration.clear)
            migration.boot()
            moves(migration)
        _driver_plays(tester, driver, prometheus)
        qemu.wait_until(lambda: qemu.lifecycle_counts("moves", "there")["started", "migrated"])
        qemu.wait_until(lambda: qemu.lifecycle_counts("lost", "there")["stopped", "failed"])
        is_up_to_date(prometheus)
        yield Lived(prometheus, qemu, driver, traces)


class Cast:
    """The guests on one host."""

    def __init__(
        self, daemon: Daemon, recorder: EventRecorder, guests: Guests, prometheus: Prometheus
    ) -> None:
        self._prometheus = prometheus
        self._drivers = {
            name: DomainDriver(name, guest, daemon, guests, recorder) for name, guest in GUESTS.items()
        }

    def plays(self) -> None:
        self._all_begin()
        for name, play in PLAYS.items():
            play(self._drivers[name])
        self._signal("slow", signal.SIGSTOP)
        self._signal("stuck", signal.SIGSTOP)
        self._knows(f'{EVENTS}{{event="hung",domain="slow"}} > 0')
        self._knows(f'{EVENTS}{{event="hung",domain="stuck"}} > 0')
        self._signal("slow", signal.SIGCONT)
        self._dies_and_is_started_again(1)
        self._dies_and_is_started_again(2)
        self._knows(f'{EVENTS}{{event="recovered",domain="slow"}} > 0')
        for domain, kind in (("dog", "hung"), ("full", "io_error"), ("web", "crashed")):
            self._knows(f'libvirt_domain_incidents_total{{domain="{domain}",kind="{kind}"}} > 0')
        self._knows(f'{EVENTS}{{event="crashed",domain="app"}} > 0')

    def leaves(self) -> None:
        self._signal("stuck", signal.SIGCONT)
        for driver in self._drivers.values():
            driver.clear()
            driver.close()

    def _all_begin(self) -> None:
        for name in ("db", "slow", "stuck", "saves", "busy"):
            self._drivers[name].boot()

    def _dies_and_is_started_again(self, time: int) -> None:
        """Prometheus sees each death and each return: two within one scrape would be one."""
        driver = self._drivers["db"]
        self._signal("db", signal.SIGKILL)
        self._knows(f'libvirt_domain_incidents_total{{domain="db",kind="crashed"}} == {time}')
        driver.domain.create()
        self._knows('libvirt_domain_incident_open{domain="db",kind="crashed"} == 0')

    def _signal(self, name: str, how: signal.Signals) -> None:
        self._drivers[name].signal_emulator(how)

    def _knows(self, expression: str) -> None:
        self._prometheus.wait_for(expression, PATIENCE)


def _saves(driver: DomainDriver) -> None:
    driver.domain.managedSave()
    driver.domain.create()
    driver.wait_event("started/restored")


def _busy(driver: DomainDriver) -> None:
    driver.domain.suspend()
    driver.domain.resume()
    driver.wait_serial("R")
    driver.domain.shutdown()
    driver.wait_event("stopped/shutdown")


def _until(pair: str) -> Callable[[DomainDriver], None]:
    def play(driver: DomainDriver) -> None:
        driver.boot()
        driver.wait_event(pair)

    return play


def _full(driver: DomainDriver) -> None:
    driver.boot(second_disk=full(driver, "stop"))
    driver.wait_event("suspended/ioerror")


PLAYS: dict[str, Callable[[DomainDriver], None]] = {
    "web": _until("stopped/crashed"),
    "app": _until("crashed/crashloaded"),
    "dog": _until("watchdog/none"),
    "boots": _until("rebooted/reset"),
    "full": _full,
    "saves": _saves,
    "busy": _busy,
}


def _is_lost(migration: MigrationDriver) -> None:
    job = migration.start_job()
    job.signal_destination(signal.SIGKILL)
    job.wait_failed()


def _driver_plays(daemon: Daemon, exporter: Exporter, prometheus: Prometheus) -> None:
    """libvirtd goes and comes back; a domain crashes, and one that is gone then; the exporter restarts."""
    daemon.restart()
    exporter.wait_until(lambda: (exporter.value("libvirt_connection_reconnects_total") or 0) >= 1, PATIENCE)
    with Driver(daemon) as driver:
        driver.define("cycled")
        driver.cycle("cycled")
        driver.define(TESTED, running=True)
        driver.connection.createXML(xml(GONE))
        for name in (TESTED, GONE):
            exporter.wait_until(partial(_counted, exporter, name, "started", "booted"))
            driver.find(name).coreDump(str(daemon.root / "core"), libvirt.VIR_DUMP_CRASH)
            exporter.wait_until(partial(_counted, exporter, name, "stopped", "crashed"))
        known = f'libvirt_domain_incidents_total{{domain="{GONE}",kind="crashed"}} == 1'
        prometheus.wait_for(known, PATIENCE)
        # What it counted is not counted once more.
        exporter.stop()
        exporter.start()
        exporter.wait_ready()
        exporter.wait_until(lambda: not exporter.lifecycle_counts(GONE), PATIENCE)


def _counted(exporter: Exporter, name: str, event: str, reason: str) -> int:
    return exporter.lifecycle_counts(name)[event, reason]
