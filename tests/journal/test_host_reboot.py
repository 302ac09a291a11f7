"""A changed boot id: every domain that was running has stopped, and the reboot of the host is counted."""

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, HostIdentified, RunEvidence
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.exposition_reader import value
from tests.unit.factories import HERE, facts, lifecycle, listing, order
from tests.unit.worker_harness import WorkerHarness, confirm

REBOOTS = "libvirt_connection_host_reboots_total"
LAST_REBOOT = "libvirt_connection_last_host_reboot_timestamp_seconds"


def connect(harness: SimulatedExporter, boot_id: str, driver: str = "QEMU") -> None:
    """Connect as a real connection does: identify the host before the first event."""
    clock = harness.clock
    harness.message_queue.put(
        HostIdentified(harness.message_queue.next_order(), clock.tick(), HERE, driver, boot_id)
    )
    harness.message_queue.put(ConnectionUp(clock.tick(), HERE))
    harness.work()


def events(exporter: SimulatedExporter) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.event, row.reason, row.message) for row in exporter.rows()]


def test_host_reboot_stops_every_running_domain(exporter: SimulatedExporter) -> None:
    connect(exporter, "boot-1")
    off, transient = facts("off", "shutoff", "destroyed"), facts("temporary", persistent=False)
    exporter.connect_and_list(listing(facts("web"), off, transient))
    exporter.kill()
    connect(exporter, "boot-2")
    exporter.connect_and_list(listing(facts("web"), off))
    assert events(exporter) == [
        ("temporary", "stopped", "unknown", "host rebooted"),
        ("web", "stopped", "unknown", "host rebooted"),
        ("web", "started", "booted", ""),
    ]
    assert exporter.inventory_changes("removed", "shutdown") == 1
    assert value(exporter.metrics, REBOOTS) == 1


def test_start_after_a_host_reboot_is_not_counted_twice(exporter: SimulatedExporter) -> None:
    connect(exporter, "boot-1")
    exporter.connect_and_list(listing(facts("web")))
    exporter.kill()
    connect(exporter, "boot-2")
    exporter.feed(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"))
    exporter.connect_and_list(listing(facts("web")))
    assert [row[1:3] for row in events(exporter)] == [
        ("stopped", "unknown"),
        ("resumed", "unpaused"),
        ("started", "booted"),
    ]


def test_missed_start_after_host_reboot_is_inferred_from_stop(exporter: SimulatedExporter) -> None:
    connect(exporter, "boot-1")
    exporter.connect_and_list(listing(facts("web")))
    exporter.kill()
    # The callbacks are registered, and the first event is queued, before the connection is reported as up.
    clock, message_queue = exporter.clock, exporter.message_queue
    message_queue.put(HostIdentified(message_queue.next_order(), clock.tick(), HERE, "QEMU", "boot-2"))
    exporter.feed(lifecycle("stopped", "shutdown"))
    message_queue.put(ConnectionUp(clock.tick(), HERE))
    exporter.work()
    assert [row[1:3] for row in events(exporter)] == [
        ("stopped", "unknown"),
        ("started", "unknown"),
        ("stopped", "shutdown"),
    ]


def test_host_reboot_count_survives_restart(exporter: SimulatedExporter) -> None:
    connect(exporter, "boot-1")
    assert (value(exporter.metrics, REBOOTS), value(exporter.metrics, LAST_REBOOT)) == (0, 0)
    exporter.kill()
    connect(exporter, "boot-2")
    at = value(exporter.metrics, LAST_REBOOT)
    assert at == pytest.approx(exporter.clock.now, abs=1)
    for _ in range(2):
        exporter.kill()
        connect(exporter, "boot-2")
        assert (value(exporter.metrics, REBOOTS), value(exporter.metrics, LAST_REBOOT)) == (1, at)


def test_reconnect_without_a_reboot_counts_nothing(exporter: SimulatedExporter) -> None:
    for boot_id in ("boot-1", "boot-1", "", "boot-1"):
        connect(exporter, boot_id)
        exporter.connect_and_list(listing(facts("web")))
    assert (events(exporter), value(exporter.metrics, REBOOTS)) == ([], 0)


def test_first_boot_id_after_an_upgrade_proves_nothing(exporter: SimulatedExporter) -> None:
    connect(exporter, "")
    exporter.connect_and_list(listing(facts("web")))
    exporter.kill()
    connect(exporter, "boot-1")
    exporter.connect_and_list(listing(facts("web")))
    assert events(exporter) == []


def test_connection_away_during_a_host_reboot_counts_it_later(exporter: SimulatedExporter) -> None:
    connect(exporter, "boot-1")
    exporter.connect_and_list(listing(facts("web")))
    exporter.connections = ("elsewhere",)
    exporter.kill()
    exporter.connections = (HERE,)
    exporter.kill()
    connect(exporter, "boot-2")
    assert events(exporter) == [("web", "stopped", "unknown", "host rebooted")]


def test_lxc_reboot_while_disconnected_is_no_stop() -> None:
    harness = WorkerHarness()
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "LXC", ""), ConnectionUp(1000.0, HERE), listing(facts("box"))
    )
    harness.feed(ConnectionUp(1001.0, HERE))
    confirm(harness, listing(facts("box")._replace(domain_id=77)))
    assert harness.journal.transitions == []


def test_new_emulator_process_is_counted_when_confirmed() -> None:
    harness = WorkerHarness()
    first = facts("web")._replace(run_evidence=RunEvidence(process_start=100))
    second = facts("web")._replace(run_evidence=RunEvidence(process_start=200))
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), listing(first)
    )
    confirm(harness, listing(second))
    confirm(harness, listing(second))
    assert harness.journal.pairs("reconcile") == [("stopped", "unknown"), ("started", "booted")]


def test_run_evidence_is_discarded_when_the_run_ends() -> None:
    harness = WorkerHarness()
    first = facts("web")._replace(run_evidence=RunEvidence(cpu_time=9_000))
    second = facts("web")._replace(run_evidence=RunEvidence(cpu_time=10))
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), listing(first)
    )
    harness.feed(lifecycle("stopped", "destroyed"), lifecycle("started", "booted"))
    confirm(harness, listing(second))
    assert harness.journal.pairs("reconcile") == []
