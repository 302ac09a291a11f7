"""A changed boot id: every domain that was running has stopped, and the host's reboot is counted."""

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, HostIdentified, RunEvidence
from tests.journal.life import Life
from tests.unit.exposition_reader import value
from tests.unit.rig import Rig, settle
from tests.unit.seen import HERE, facts, lifecycle, order, snapshot

REBOOTS = "libvirt_connection_host_reboots_total"
LAST_REBOOT = "libvirt_connection_last_host_reboot_timestamp_seconds"


def connects(rig: Life, boot_id: str, driver: str = "QEMU") -> None:
    """As a connection does: the host first, then events may come."""
    clock = rig.clock
    rig.message_queue.put(HostIdentified(rig.message_queue.next_order(), clock.tick(), HERE, driver, boot_id))
    rig.message_queue.put(ConnectionUp(clock.tick(), HERE))
    rig.work()


def events(life: Life) -> list[tuple[str, str, str, str]]:
    return [(row.name, row.event, row.reason, row.message) for row in life.rows()]


def test_host_reboot_stops_every_running_domain(life: Life) -> None:
    connects(life, "boot-1")
    off, transient = facts("off", "shutoff", "destroyed"), facts("temporary", persistent=False)
    life.lists(snapshot(facts("web"), off, transient))
    life.is_killed()
    connects(life, "boot-2")
    life.lists(snapshot(facts("web"), off))
    assert events(life) == [
        ("temporary", "stopped", "unknown", "host rebooted"),
        ("web", "stopped", "unknown", "host rebooted"),
        ("web", "started", "booted", ""),
    ]
    assert life.changes("removed", "shutdown") == 1
    assert value(life.sink, REBOOTS) == 1


def test_start_after_a_host_reboot_is_not_counted_twice(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(snapshot(facts("web")))
    life.is_killed()
    connects(life, "boot-2")
    life.feed(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"))
    life.lists(snapshot(facts("web")))
    assert [row[1:3] for row in events(life)] == [
        ("stopped", "unknown"),
        ("resumed", "unpaused"),
        ("started", "booted"),
    ]


def test_missed_start_after_host_reboot_is_inferred_from_stop(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(snapshot(facts("web")))
    life.is_killed()
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


def test_host_reboot_count_survives_restart(life: Life) -> None:
    connects(life, "boot-1")
    assert (value(life.sink, REBOOTS), value(life.sink, LAST_REBOOT)) == (0, 0)
    life.is_killed()
    connects(life, "boot-2")
    at = value(life.sink, LAST_REBOOT)
    assert at == pytest.approx(life.clock.now, abs=1)
    for _ in range(2):
        life.is_killed()
        connects(life, "boot-2")
        assert (value(life.sink, REBOOTS), value(life.sink, LAST_REBOOT)) == (1, at)


def test_reconnect_without_a_reboot_counts_nothing(life: Life) -> None:
    for boot_id in ("boot-1", "boot-1", "", "boot-1"):
        connects(life, boot_id)
        life.lists(snapshot(facts("web")))
    assert (events(life), value(life.sink, REBOOTS)) == ([], 0)


def test_first_boot_id_after_an_upgrade_proves_nothing(life: Life) -> None:
    connects(life, "")
    life.lists(snapshot(facts("web")))
    life.is_killed()
    connects(life, "boot-1")
    life.lists(snapshot(facts("web")))
    assert events(life) == []


def test_connection_away_during_a_host_reboot_counts_it_later(life: Life) -> None:
    connects(life, "boot-1")
    life.lists(snapshot(facts("web")))
    life.connections = ("elsewhere",)
    life.is_killed()
    life.connections = (HERE,)
    life.is_killed()
    connects(life, "boot-2")
    assert events(life) == [("web", "stopped", "unknown", "host rebooted")]


def test_lxc_reboot_while_disconnected_is_no_stop() -> None:
    rig = Rig()
    rig.feed(
        HostIdentified(order(), 1000.0, HERE, "LXC", ""), ConnectionUp(1000.0, HERE), snapshot(facts("box"))
    )
    rig.feed(ConnectionUp(1001.0, HERE))
    settle(rig, snapshot(facts("box")._replace(domain_id=77)))
    assert rig.notebook.transitions == []


def test_new_emulator_process_is_counted_when_confirmed() -> None:
    rig = Rig()
    first = facts("web")._replace(run_evidence=RunEvidence(process_start=100))
    second = facts("web")._replace(run_evidence=RunEvidence(process_start=200))
    rig.feed(HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), snapshot(first))
    settle(rig, snapshot(second))
    settle(rig, snapshot(second))
    assert rig.notebook.pairs("reconcile") == [("stopped", "unknown"), ("started", "booted")]


def test_run_evidence_is_discarded_when_the_run_ends() -> None:
    rig = Rig()
    first = facts("web")._replace(run_evidence=RunEvidence(cpu_time=9_000))
    second = facts("web")._replace(run_evidence=RunEvidence(cpu_time=10))
    rig.feed(HostIdentified(order(), 1000.0, HERE, "QEMU", ""), ConnectionUp(1000.0, HERE), snapshot(first))
    rig.feed(lifecycle("stopped", "destroyed"), lifecycle("started", "booted"))
    settle(rig, snapshot(second))
    assert rig.notebook.pairs("reconcile") == []
