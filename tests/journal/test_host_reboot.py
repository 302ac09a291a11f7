"""A changed boot id: every domain that was running has stopped, and the host's reboot is counted."""

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, HostIdentified, RunEvidence
from tests.journal.life import Life
from tests.unit.exposition_reader import value
from tests.unit.factories import HERE, facts, lifecycle, listing, order
from tests.unit.worker_harness import WorkerHarness, confirm

REBOOTS = "libvirt_connection_host_reboots_total"
LAST_REBOOT = "libvirt_connection_last_host_reboot_timestamp_seconds"


def connects(harness: Life, boot_id: str, driver: str = "QEMU") -> None:
    """As a connection does: the host first, then events may come."""
    clock = harness.clock
    harness.message_queue.put(
        HostIdentified(harness.message_queue.next_order(), clock.tick(), HERE, driver, boot_id)
    )
    harness.message_queue.put(ConnectionUp(clock.tick(), HERE))
    harness.work()


def events(life: Life) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.event, row.reason, row.message) for row in life.rows()]


def test_host_reboot_stops_every_running_domain(life: Life) -> None:
    connects(life, "boot-1")
    off, transient = facts("off", "shutoff", "destroyed"), facts("temporary", persistent=False)
    life.lists(listing(facts("web"), off, transient))
    life.kill()
    connects(life, "boot-2")
    life.lists(listing(facts("web"), off))
    assert events(life) == [
        ("temporary", "stopped", "unknown", "host rebooted"),
        ("web", "stopped", "unknown", "host rebooted"),
        ("web", "started", "booted", ""),
    ]
    assert life.changes("removed", "shutdown") == 1
    assert value(life.metrics, REBOOTS) == 1


def test_start_after_a_host_reboot_is_not_counted_twice(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(listing(facts("web")))
    life.kill()
    connects(life, "boot-2")
    life.feed(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"))
    life.lists(listing(facts("web")))
    assert [row[1:3] for row in events(life)] == [
        ("stopped", "unknown"),
        ("resumed", "unpaused"),
        ("started", "booted"),
    ]


def test_missed_start_after_a_host_reboot_is_inferred_from_its_stop(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(listing(facts("web")))
    life.kill()
    # The callbacks are registered, and the first event is queued, before the connection is reported as up.
    clock, message_queue = life.clock, life.message_queue
    message_queue.put(HostIdentified(message_queue.next_order(), clock.tick(), HERE, "QEMU", "boot-2"))
    life.feed(lifecycle("stopped", "shutdown"))
    message_queue.put(ConnectionUp(clock.tick(), HERE))
    life.work()
    assert [row[1:3] for row in events(life)] == [
        ("stopped", "unknown"),
        ("started", "unknown"),
        ("stopped", "shutdown"),
    ]


def test_host_reboots_outlive_a_restart(life: Life) -> None:
    connects(life, "boot-1")
    assert (value(life.metrics, REBOOTS), value(life.metrics, LAST_REBOOT)) == (0, 0)
    life.kill()
    connects(life, "boot-2")
    at = value(life.metrics, LAST_REBOOT)
    assert at == pytest.approx(life.clock.now, abs=1)
    for _ in range(2):
        life.kill()
        connects(life, "boot-2")
        assert (value(life.metrics, REBOOTS), value(life.metrics, LAST_REBOOT)) == (1, at)


def test_reconnect_without_a_reboot_counts_nothing(life: Life) -> None:
    for boot_id in ("boot-1", "boot-1", "", "boot-1"):
        connects(life, boot_id)
        life.lists(listing(facts("web")))
    assert (events(life), value(life.metrics, REBOOTS)) == ([], 0)


def test_first_boot_id_after_an_upgrade_proves_nothing(life: Life) -> None:
    connects(life, "")
    life.lists(listing(facts("web")))
    life.kill()
    connects(life, "boot-1")
    life.lists(listing(facts("web")))
    assert events(life) == []


def test_connection_away_during_a_host_reboot_counts_it_later(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(listing(facts("web")))
    life.connections = ("elsewhere",)
    life.kill()
    life.connections = (HERE,)
    life.kill()
    connects(life, "boot-2")
    assert events(life) == [("web", "stopped", "unknown", "host rebooted")]


def test_lxc_reboot_while_disconnected_is_no_stop() -> None:
    harness = WorkerHarness()
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "LXC", ""), ConnectionUp(1000.0, HERE), listing(facts("box"))
    )
    harness.feed(ConnectionUp(1001.0, HERE))
    confirm(harness, listing(facts("box")._replace(domain_id=77)))
    assert harness.journal.transitions == []


def test_another_process_is_counted_once_it_is_confirmed() -> None:
    harness = WorkerHarness()
    first = facts("web")._replace(run_evidence=RunEvidence(process_start=100))
    second = facts("web")._replace(run_evidence=RunEvidence(process_start=200))
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), listing(first)
    )
    confirm(harness, listing(second))
    confirm(harness, listing(second))
    assert harness.journal.pairs("reconcile") == [("stopped", "unknown"), ("started", "booted")]


def test_evidence_of_a_run_is_forgotten_when_it_ends() -> None:
    harness = WorkerHarness()
    first = facts("web")._replace(run_evidence=RunEvidence(cpu_time=9_000))
    second = facts("web")._replace(run_evidence=RunEvidence(cpu_time=10))
    harness.feed(
        HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), listing(first)
    )
    harness.feed(lifecycle("stopped", "destroyed"), lifecycle("started", "booted"))
    confirm(harness, listing(second))
    assert harness.journal.pairs("reconcile") == []
