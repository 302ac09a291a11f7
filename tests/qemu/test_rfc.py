"""The RFC's words, row by row (issue 3, vocabulary 4): each is a test, on real QEMU."""

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
from tests.qemu import plays
from tests.qemu.ledger import wait_counted
from tests.qemu.plays import boot_and_wait, emulator_gets
from tests.qemu.road import Road
from tests.qemu.scenario import Play
from tests.qemu.stage import Stage, on_stage
from tests.testdriver.scenes import xml

INVENTORY = "libvirt_domain_inventory_changes_total"
MARKER = Counter({("added", "defined"): 1, ("removed", "undefined"): 1})
"""What a recorder's marker adds to the inventory."""


class Watcher:
    """The shared daemon and exporter, and stages named after the test."""

    def __init__(
        self, name: str, daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: Exporter
    ) -> None:
        self.name = name
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.exporter = exporter

    def stage(self, guest: Guest = IDLE) -> AbstractContextManager[Stage]:
        return on_stage(Stage(self.name, guest, self.daemon, self.guests, self.recorder))

    def counts(self, play: Play, pair: str, guest: Guest = IDLE) -> Counter[Pair]:
        """Plays, waits for the pair, and returns all that was counted of the domain until it had gone."""
        event, reason = pair.split("/")
        with self.stage(guest) as stage:
            play(stage)
            self.exporter.wait_until(
                lambda: self.exporter.lifecycle_counts(self.name)[event, reason], what=f"{self.name}: {pair}"
            )
        return self.settled()

    def settled(self) -> Counter[Pair]:
        wait_counted(self.exporter, self.recorder.settle())
        return self.exporter.lifecycle_counts(self.name)

    def inventory_grows(self, play: Play, pair: str) -> Counter[Pair]:
        self.settled()
        before = self._inventory()
        self.counts(play, pair)
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
def watcher(
    request: pytest.FixtureRequest,
    session_daemon: Daemon,
    guests: Guests,
    recorder: EventRecorder,
    exporter: Exporter,
) -> Watcher:
    name = "rfc-" + request.node.name.removeprefix("test_").replace("_", "-")
    return Watcher(name, session_daemon, guests, recorder, exporter)


def stops(counts: Counter[Pair]) -> dict[str, int]:
    return {reason: count for (event, reason), count in counts.items() if event == "stopped"}


def test_stopped_crashed(watcher: Watcher) -> None:
    counts = watcher.counts(emulator_gets(signal.SIGKILL, "stopped/failed"), "stopped/crashed")
    assert stops(counts) == {"crashed": 1}


def test_stopped_shutdown(watcher: Watcher) -> None:
    counts = watcher.counts(plays.honoured_shutdown, "stopped/shutdown", Guest("powerbutton"))
    assert stops(counts) == {"shutdown": 1}


def test_stopped_destroyed(watcher: Watcher) -> None:
    assert stops(watcher.counts(plays.destroy, "stopped/destroyed")) == {"destroyed": 1}


def test_stopped_quit(watcher: Watcher) -> None:
    counts = watcher.counts(emulator_gets(signal.SIGTERM, "stopped/shutdown"), "stopped/quit")
    assert stops(counts) == {"quit": 1}


def test_stopped_hung(watcher: Watcher) -> None:
    unfed = Guest("watchdog", hardware=Hardware(watchdog="poweroff"))
    assert stops(watcher.counts(boot_and_wait("stopped/failed"), "stopped/hung", unfed)) == {"hung": 1}


def test_stopped_saved_and_started_restored(watcher: Watcher) -> None:
    counts = watcher.counts(plays.managed_save, "started/restored")
    assert stops(counts) == {"saved": 1, "destroyed": 1}
    assert counts["started", "restored"] == 1
    assert counts["started", "booted"] == 1


def test_started_booted(watcher: Watcher) -> None:
    counts = watcher.counts(lambda stage: stage.boot() and None, "started/booted")
    assert {reason: count for (event, reason), count in counts.items() if event == "started"} == {"booted": 1}


@pytest.fixture
def road(hosts: Hosts, guests: Guests) -> Iterator[Road]:
    road = Road("rfc-migrated", IDLE, hosts, guests)
    yield road
    road.clear()
    road.close()


def test_migrated_in_and_migrated_out(road: Road, hosts: Hosts) -> None:
    road.boot()
    road.migrate()
    for host in (hosts.here, hosts.there):
        wait_counted(hosts.exporter, host.recorder.settle(), host.name)
    here = hosts.exporter.lifecycle_counts(road.name, "here")
    there = hosts.exporter.lifecycle_counts(road.name, "there")
    assert stops(here) == {"migrated": 1}
    assert there["started", "migrated"] == 1
    assert stops(there) == {}
    assert ("started", "booted") not in there
    assert hosts.exporter.journal.incidents(road.name) == []


def test_guest_panic_is_a_separate_crashed_event(watcher: Watcher) -> None:
    panicking = Guest("panic", hardware=Hardware(panic=True, on_crash="restart"))
    counts = watcher.counts(plays.boot_twice, "crashed/panicked", panicking)
    assert counts["crashed", "panicked"] == 1
    assert stops(counts) == {"destroyed": 1}, "it ran on: only the end of the test stopped it"


def test_transient_domain_is_added_and_removed(watcher: Watcher) -> None:
    grown = watcher.inventory_grows(plays.transient, "stopped/destroyed")
    assert grown == Counter({("added", "started"): 1, ("removed", "shutdown"): 1})


def test_persistent_domain_is_added_and_removed(watcher: Watcher) -> None:
    grown = watcher.inventory_grows(plays.destroy, "stopped/destroyed")
    assert grown == Counter({("added", "defined"): 1, ("removed", "undefined"): 1})


def test_redefinition_of_a_running_domain_is_counted(watcher: Watcher) -> None:
    counts = watcher.counts(plays.redefine(running=True), "defined/updated")
    assert counts["defined", "updated"] == 1
    assert counts["defined", "added"] == 1


def test_transient_domain_made_persistent_is_counted(watcher: Watcher) -> None:
    grown = watcher.inventory_grows(plays.transient_made_persistent, "defined/added")
    assert grown == Counter({("added", "started"): 1, ("removed", "undefined"): 1})


def test_one_selector_finds_every_stop(watcher: Watcher) -> None:
    """An application that only wants to know whether, not why."""

    def stop_in_four_ways(stage: Stage) -> None:
        domain = stage.boot()
        domain.destroy()
        domain.create()
        domain.managedSave()
        domain.create()
        stage.emulator(signal.SIGTERM)
        stage.sees("stopped/shutdown")
        domain.create()
        stage.emulator(signal.SIGKILL)
        stage.sees("stopped/failed")

    counts = watcher.counts(stop_in_four_ways, "stopped/crashed")
    assert stops(counts) == {"destroyed": 1, "saved": 1, "quit": 1, "crashed": 1}
    assert sum(count for (event, _), count in counts.items() if event == "stopped") == 4


def test_driver_without_reasons_is_counted(session_daemon: Daemon, lab_root: Path) -> None:
    """Not every driver can tell every reason: what this one tells is told, and nothing is made up."""
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


def test_message_accompanies_the_reason(watcher: Watcher, session_daemon: Daemon, lab_root: Path) -> None:
    logs = session_daemon.root / "cache/libvirt/qemu/log"
    arguments = ("--libvirt.log-dir", str(logs))
    with (
        Exporter(lab_root, [session_daemon.uri], extra_args=arguments) as exporter,
        watcher.stage() as stage,
    ):
        emulator_gets(signal.SIGTERM, "stopped/shutdown")(stage)
        exporter.wait_until(
            lambda: any(
                "terminating on signal 15" in row.message
                for row in exporter.journal.rows(watcher.name)
                if (row.event, row.reason, row.detail) == ("stopped", "quit", "shutdown")
            ),
            what="words",
        )
        assert "terminating" not in exporter.text(), "never a label"
