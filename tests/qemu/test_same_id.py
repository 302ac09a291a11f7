"""A domain gets the id of its previous run during an outage: the stop and the start are counted.

libvirt numbers domains from 1 again after a host reboot, and after a daemon restart while no domain runs.
"""

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from libvirt_lifecycle_exporter.hypervisor.listing import list_domains
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, RunEvidence
from tests.lab.daemon import Daemon
from tests.lab.guests import Guest, Guests
from tests.lab.waiting import until
from tests.qemu.domain_driver import TIMEOUT, UNDEFINE_ALL
from tests.qemu.outage import SHORT_INTERVALS, RestartableExporter

NAME = "only"
REBOOTS = "libvirt_connection_host_reboots_total"
LAST_REBOOT = "libvirt_connection_last_host_reboot_timestamp_seconds"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
UNSHARE = ("unshare", "--mount") if os.getuid() == 0 else ("unshare", "--map-root-user", "--mount")


class HostExporter(RestartableExporter):
    """An exporter that reads the boot id from a file of the test, mounted over the kernel's."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon.root, [daemon.uri], extra_args=SHORT_INTERVALS)
        self._boot_id = daemon.root / "boot_id"
        self.new_boot()
        mounted = f'mount --bind "{self._boot_id}" {BOOT_ID} && exec "$@"'
        self._argv = [*UNSHARE, "sh", "-c", mounted, "sh", *self._argv]

    def new_boot(self) -> None:
        self._boot_id.write_text(f"{uuid.uuid4()}\n")


class OneGuestHost:
    """A host with one domain, whose runs all get the id 1."""

    def __init__(self, daemon: Daemon, guests: Guests, exporter: HostExporter) -> None:
        self.daemon = daemon
        self.exporter = exporter
        connection = daemon.connect()
        connection.defineXML(guests.xml(NAME))
        connection.close()

    @contextmanager
    def domain(self) -> Iterator[Any]:
        """The domain on a connection that is closed at the end of the block: the daemon may be restarted
        afterwards.
        """
        connection = self.daemon.connect()
        try:
            yield connection.lookupByName(NAME)
        finally:
            connection.close()

    def start(self) -> None:
        with self.domain() as domain:
            domain.create()
            assert domain.ID() == 1

    def kill_emulator(self) -> None:
        pid = self.daemon.emulator_pid(NAME)
        os.kill(pid, signal.SIGKILL)
        self.daemon.processes.wait(pid, TIMEOUT)

    def lose_power(self) -> None:
        """End all processes at once, and empty the runtime directory, which is a tmpfs on a real host."""
        self.exporter.end(signal.SIGKILL)
        self.daemon.kill()
        self.kill_emulator()
        self.empty_runtime_directory()

    def empty_runtime_directory(self) -> None:
        for entry in (self.daemon.root / "run").iterdir():
            shutil.rmtree(entry)

    def wait_running(self) -> None:
        """Wait until libvirt has started the domain automatically."""
        with self.domain() as domain:
            until(domain.isActive, TIMEOUT, "the domain to be started automatically")
            assert domain.ID() == 1

    def inferred(self) -> list[tuple[str, str, str]]:
        rows = self.exporter.journal.rows(NAME)
        return [(row.event, row.reason, row.message) for row in rows if row.source == "reconcile"]

    def wait_inferred(self, *pairs: str) -> None:
        expected = [tuple(pair.split("/")) for pair in pairs]
        self.exporter.wait_until(
            lambda: [row[:2] for row in self.inferred()] == expected,
            TIMEOUT,
            f"{pairs}, not {self.inferred()}",
        )

    def clear(self) -> None:
        with self.domain() as domain:
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(UNDEFINE_ALL)


@pytest.fixture
def host(own_daemon: Daemon, guests: Guests) -> Iterator[OneGuestHost]:
    with HostExporter(own_daemon) as exporter:
        host = OneGuestHost(own_daemon, guests, exporter)
        yield host
        host.clear()


def observe_first_run(host: OneGuestHost) -> None:
    host.start()
    exporter = host.exporter
    exporter.wait_until(lambda: exporter.lifecycle_counts(NAME)["started", "booted"] == 1, TIMEOUT)
    exporter.wait_until(
        lambda: host.exporter.journal.process_start(NAME), TIMEOUT, "the run to be identified"
    )


def test_host_reboot_with_the_same_id_is_a_stop_and_a_start(host: OneGuestHost) -> None:
    with host.domain() as domain:
        domain.setAutostart(True)
    observe_first_run(host)
    host.lose_power()
    host.exporter.new_boot()
    host.daemon.start()
    host.wait_running()
    host.exporter.begin()
    host.wait_inferred("stopped/unknown", "started/booted")
    assert host.inferred()[0][2] == "host rebooted"
    assert host.exporter.value(REBOOTS) == 1
    found = host.exporter.value(LAST_REBOOT)
    assert found is not None
    host.exporter.end(signal.SIGKILL)
    host.exporter.begin()
    assert (host.exporter.value(REBOOTS), host.exporter.value(LAST_REBOOT)) == (1, found)
    assert len(host.inferred()) == 2


def test_power_loss_is_proven_without_a_boot_id(host: OneGuestHost) -> None:
    observe_first_run(host)
    host.lose_power()
    host.daemon.start()
    host.start()
    host.exporter.begin()
    host.wait_inferred("stopped/unknown", "started/booted")
    assert host.exporter.value(REBOOTS) == 0


def test_save_and_restore_with_the_same_id_is_a_stop_and_a_start(host: OneGuestHost) -> None:
    observe_first_run(host)
    host.exporter.end(signal.SIGKILL)
    with host.domain() as domain:
        domain.managedSave()
    host.daemon.kill()
    host.empty_runtime_directory()
    host.daemon.start()
    host.start()
    host.exporter.begin()
    host.wait_inferred("stopped/unknown", "started/restored")


def test_libvirt_upgrade_with_the_same_id_is_a_stop_and_start(host: OneGuestHost) -> None:
    observe_first_run(host)
    host.exporter.end(signal.SIGTERM)
    with host.domain() as domain:
        domain.destroy()
    host.daemon.restart()
    host.start()
    host.exporter.begin()
    host.wait_inferred("stopped/unknown", "started/booted")


def test_reconnect_to_the_same_id_is_a_stop_and_a_start(host: OneGuestHost) -> None:
    observe_first_run(host)
    host.daemon.kill()
    host.kill_emulator()
    host.exporter.wait_until(lambda: host.exporter.value("libvirt_connection_up") == 0, TIMEOUT)
    host.empty_runtime_directory()
    # The exporter must not list the domain before it runs again.
    os.kill(host.exporter.pid, signal.SIGSTOP)
    host.daemon.start()
    host.start()
    os.kill(host.exporter.pid, signal.SIGCONT)
    host.exporter.wait_until(lambda: host.exporter.value("libvirt_connection_up") == 1, TIMEOUT)
    host.wait_inferred("stopped/unknown", "started/booted")


def test_cpu_time_falls_with_another_run(own_daemon: Daemon, guests: Guests) -> None:
    connection = own_daemon.connect()
    domain = connection.defineXML(guests.xml(NAME, Guest("spin")))

    def evidence() -> RunEvidence:
        """Return the evidence where the emulator's process is not visible."""
        (facts,) = list_domains(connection)
        return facts.run_evidence

    try:
        domain.create()
        until(lambda: evidence().cpu_time > 3e9, TIMEOUT, "the guest to use CPU time")
        before = evidence()
        assert before.process_start == 0
        domain.destroy()
        assert evidence() == NO_EVIDENCE
        domain.create()
        assert 0 < evidence().cpu_time < before.cpu_time
        domain.destroy()
        domain.undefine()
    finally:
        del domain
        connection.close()


def test_restart_of_the_exporter_within_one_run_is_no_stop(host: OneGuestHost) -> None:
    observe_first_run(host)
    for _ in range(2):
        host.exporter.end(signal.SIGKILL)
        host.daemon.restart()
        host.exporter.begin()
    assert host.inferred() == []
