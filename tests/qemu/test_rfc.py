"""The vocabulary of the RFC on real QEMU, one test for each row."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import libvirt
import pytest

from tests.lab.daemon import Daemon
from tests.lab.domain_xml import Hardware
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.hosts import Hosts
from tests.lab.pairs import Pair
from tests.qemu import operations
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.event_comparison import wait_counted
from tests.qemu.migration_driver import MigrationDriver
from tests.qemu.operations import boot_and_wait, signal_emulator_and_wait
from tests.qemu.scenario import Operation
from tests.testdriver.scenes import xml

INVENTORY = "libvirt_domain_inventory_changes_total"
MARKER = Counter({("added", "defined"): 1, ("removed", "undefined"): 1})
"""Inventory changes of one marker domain of the recorder."""


class ScenarioRunner:
    """Shared daemon and exporter, and a domain named after the test."""

    def __init__(
        self, name: str, daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: Exporter
    ) -> None:
        self.name = name
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.exporter = exporter

    def driver(self, guest: Guest = IDLE) -> AbstractContextManager[DomainDriver]:
        return managed_domain(DomainDriver(self.name, guest, self.daemon, self.guests, self.recorder))

    def counts(self, operation: Operation, pair: str, guest: Guest = IDLE) -> Counter[Pair]:
        """Run the operation, wait for the pair, remove the domain, and return all its counted pairs."""
        event, reason = pair.split("/")
        with self.driver(guest) as driver:
            operation(driver)
            self.exporter.wait_until(
                lambda: self.exporter.lifecycle_counts(self.name)[event, reason], what=f"{self.name}: {pair}"
            )
        return self.wait_settled()

    def wait_settled(self) -> Counter[Pair]:
        wait_counted(self.exporter, self.recorder.settle())
        return self.exporter.lifecycle_counts(self.name)

    def inventory_changes(self, operation: Operation, pair: str) -> Counter[Pair]:
        self.wait_settled()
        before = self._inventory()
        self.counts(operation, pair)
        return self._inventory() - before - MARKER

    def _inventory(self) -> Counter[Pair]:
        family = self.exporter.metrics()[INVENTORY.removesuffix("_total")]
        return Counter(
            {
                (sample.labels["change"], sample.labels["reason"]): int(sample.value)
                for sample in family.samples
                if sample.name == INVENTORY
            }
        )


@pytest.fixture
def runner(
    request: pytest.FixtureRequest,
    session_daemon: Daemon,
    guests: Guests,
    recorder: EventRecorder,
    exporter: Exporter,
) -> ScenarioRunner:
    name = "rfc-" + request.node.name.removeprefix("test_").replace("_", "-")
    return ScenarioRunner(name, session_daemon, guests, recorder, exporter)


def stops(counts: Counter[Pair]) -> dict[str, int]:
    return {reason: count for (event, reason), count in counts.items() if event == "stopped"}


def test_stopped_crashed(runner: ScenarioRunner) -> None:
    counts = runner.counts(signal_emulator_and_wait(signal.SIGKILL, "stopped/failed"), "stopped/crashed")
    assert stops(counts) == {"crashed": 1}


def test_stopped_shutdown(runner: ScenarioRunner) -> None:
    counts = runner.counts(operations.honoured_shutdown, "stopped/shutdown", Guest("powerbutton"))
    assert stops(counts) == {"shutdown": 1}


def test_stopped_destroyed(runner: ScenarioRunner) -> None:
    assert stops(runner.counts(operations.destroy, "stopped/destroyed")) == {"destroyed": 1}


def test_stopped_quit(runner: ScenarioRunner) -> None:
    counts = runner.counts(signal_emulator_and_wait(signal.SIGTERM, "stopped/shutdown"), "stopped/quit")
    assert stops(counts) == {"quit": 1}


def test_stopped_hung(runner: ScenarioRunner) -> None:
    guest = Guest("watchdog", hardware=Hardware(watchdog="poweroff"))
    assert stops(runner.counts(boot_and_wait("stopped/failed"), "stopped/hung", guest)) == {"hung": 1}


def test_stopped_saved_and_started_restored(runner: ScenarioRunner) -> None:
    counts = runner.counts(operations.managed_save, "started/restored")
    assert stops(counts) == {"saved": 1, "destroyed": 1}
    assert counts["started", "restored"] == 1
    assert counts["started", "booted"] == 1


def test_started_booted(runner: ScenarioRunner) -> None:
    counts = runner.counts(lambda driver: driver.boot() and None, "started/booted")
    assert {reason: count for (event, reason), count in counts.items() if event == "started"} == {"booted": 1}


@pytest.fixture
def migration(hosts: Hosts, guests: Guests) -> Iterator[MigrationDriver]:
    migration = MigrationDriver("rfc-migrated", IDLE, hosts, guests)
    yield migration
    migration.clear()
    migration.close()


def test_migrated_in_and_migrated_out(migration: MigrationDriver, hosts: Hosts) -> None:
    migration.boot()
    migration.migrate()
    for host in (hosts.here, hosts.there):
        wait_counted(hosts.exporter, host.recorder.settle(), host.name)
    here = hosts.exporter.lifecycle_counts(migration.name, "here")
    there = hosts.exporter.lifecycle_counts(migration.name, "there")
    assert stops(here) == {"migrated": 1}
    assert there["started", "migrated"] == 1
    assert stops(there) == {}
    assert ("started", "booted") not in there
    assert hosts.exporter.journal.incidents(migration.name) == []


def test_guest_panic_is_a_separate_crashed_event(runner: ScenarioRunner) -> None:
    guest = Guest("panic", hardware=Hardware(panic=True, on_crash="restart"))
    counts = runner.counts(operations.boot_twice, "crashed/panicked", guest)
    assert counts["crashed", "panicked"] == 1
    assert stops(counts) == {"destroyed": 1}, "only the end of the test stopped it"


def test_transient_domain_is_added_and_removed(runner: ScenarioRunner) -> None:
    changes = runner.inventory_changes(operations.transient, "stopped/destroyed")
    assert changes == Counter({("added", "started"): 1, ("removed", "shutdown"): 1})


def test_persistent_domain_is_added_and_removed(runner: ScenarioRunner) -> None:
    changes = runner.inventory_changes(operations.destroy, "stopped/destroyed")
    assert changes == Counter({("added", "defined"): 1, ("removed", "undefined"): 1})


def test_redefinition_of_a_running_domain_is_counted(runner: ScenarioRunner) -> None:
    counts = runner.counts(operations.redefine(running=True), "defined/updated")
    assert counts["defined", "updated"] == 1
    assert counts["defined", "added"] == 1


def test_transient_domain_made_persistent_is_counted(runner: ScenarioRunner) -> None:
    changes = runner.inventory_changes(operations.transient_made_persistent, "defined/added")
    assert changes == Counter({("added", "started"): 1, ("removed", "undefined"): 1})


def test_one_selector_finds_every_stop(runner: ScenarioRunner) -> None:
    """One event label matches all reasons."""

    def stop_in_four_ways(driver: DomainDriver) -> None:
        domain = driver.boot()
        domain.destroy()
        domain.create()
        domain.managedSave()
        domain.create()
        driver.signal_emulator(signal.SIGTERM)
        driver.wait_event("stopped/shutdown")
        domain.create()
        driver.signal_emulator(signal.SIGKILL)
        driver.wait_event("stopped/failed")

    counts = runner.counts(stop_in_four_ways, "stopped/crashed")
    assert stops(counts) == {"destroyed": 1, "saved": 1, "quit": 1, "crashed": 1}
    assert sum(count for (event, _), count in counts.items() if event == "stopped") == 4


def test_driver_without_reasons_is_counted(session_daemon: Daemon, lab_root: Path) -> None:
    """The test driver reports few reasons: these are counted, and no other reason is invented."""
    name = "rfc-other-driver"
    with (
        EventRecorder(session_daemon.test_uri) as recorder,
        Exporter(lab_root, [session_daemon.test_uri]) as exporter,
    ):
        connection = libvirt.open(session_daemon.test_uri)
        try:
            domain = connection.defineXML(xml(name))
            domain.create()
            domain.shutdown()
            domain.create()
            domain.destroy()
            domain.undefine()
        finally:
            connection.close()
        wait_counted(exporter, recorder.settle())
        counts = exporter.lifecycle_counts(name)
        assert counts == recorder.pairs(name)
        assert stops(counts) == {"shutdown": 1, "destroyed": 1}


def test_message_accompanies_the_reason(
    runner: ScenarioRunner, session_daemon: Daemon, lab_root: Path
) -> None:
    logs = session_daemon.root / "cache/libvirt/qemu/log"
    arguments = ("--libvirt.log-dir", str(logs))
    with (
        Exporter(lab_root, [session_daemon.uri], extra_args=arguments) as exporter,
        runner.driver() as driver,
    ):
        signal_emulator_and_wait(signal.SIGTERM, "stopped/shutdown")(driver)
        exporter.wait_until(
            lambda: any(
                "terminating on signal 15" in row.message
                for row in exporter.journal.rows(runner.name)
                if (row.event, row.reason, row.detail) == ("stopped", "quit", "shutdown")
            ),
            what="words",
        )
        assert "terminating" not in exporter.text(), "never a label"
