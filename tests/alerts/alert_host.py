"""A host of the end-to-end test: its libvirt, guests and exporter, and the notifications about it."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import libvirt

from tests.lab.alertmanager import Alertmanager, Pager, ReceivedAlert
from tests.lab.daemon import Daemon
from tests.lab.domain_xml import Disk, Hardware
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.waiting import until

TIMEOUT = 120.0
DISK_SIZE = 64 << 20
SECTOR = 512
SHORT_INTERVALS = (
    *("--hang.emulator-interval", "1s", "--hang.emulator-threshold", "1s"),
    *("--libvirt.reconnect-max-delay", "1s"),
)
"""The keepalive has its default. All scenarios share the machine: with 3 s, the exporter would close the
connection to a slow daemon and miss an event (shutdown/host).
"""


class AlertHost:
    def __init__(
        self, daemon: Daemon, guests: Guests, exporter: Exporter, pager: Pager, alertmanager: Alertmanager
    ) -> None:
        self.daemon = daemon
        self.guests = guests
        self.exporter = exporter
        self.pager = pager
        self.alertmanager = alertmanager
        self.killed_at = 0.0
        """When the emulators were killed; Unix time, seconds."""
        self.connection: Any = daemon.connect()

    @property
    def instance(self) -> str:
        return f"127.0.0.1:{self.exporter.port}"

    def notifications(self) -> list[ReceivedAlert]:
        return [
            notification
            for notification in self.pager.received
            if notification.labels.get("instance") == self.instance
        ]

    def wait_notified(self, status: str, alert: str, times: int = 1) -> None:
        """Wait until the pager has received this status of the alert ``times`` times for this host."""

        def received() -> list[tuple[str, str]]:
            return [(notification.status, notification.name) for notification in self.notifications()]

        until(
            lambda: received().count((status, alert)) >= times,
            TIMEOUT,
            f"{alert} {status}; received: {received()}",
        )

    def is_inhibited(self, alert: str) -> bool:
        """Return whether an alert of this host is active and inhibited."""
        return "suppressed" in self._states(alert)

    def is_active(self, alert: str) -> bool:
        """Return whether an alert of this host is active, inhibited or not."""
        return bool(self._states(alert))

    def _states(self, alert: str) -> set[str]:
        return {
            str(found["status"]["state"])
            for found in self.alertmanager.alerts()
            if found["labels"]["alertname"] == alert
            if found["labels"].get("instance") == self.instance
        }

    def boot(self, name: str, guest: Guest = IDLE) -> Any:
        """Start a transient domain."""
        return self.connection.createXML(self.guests.xml(name, guest))

    def define(self, name: str, guest: Guest = IDLE) -> Any:
        """Define and start a persistent domain."""
        domain = self.connection.defineXML(self.guests.xml(name, guest))
        domain.create()
        return domain

    def restart(self, domain: Any) -> None:
        """Start the domain again as soon as libvirt has noticed the end of its emulator."""
        until(lambda: not domain.isActive(), TIMEOUT, "libvirt to notice the end of the emulator")
        domain.create()

    def remove(self, name: str) -> None:
        """Destroy and undefine the domain if it exists."""
        with suppress(libvirt.libvirtError):
            domain = self.connection.lookupByName(name)
            if domain.isActive():
                domain.destroy()
            domain.undefine()

    def signal_emulators(self, number: signal.Signals, names: Iterable[str]) -> None:
        for name in names:
            os.kill(self.daemon.emulator_pid(name), number)

    def wait_running(self, count: int) -> None:
        """Wait until the exporter shows this number of running domains."""
        self.exporter.wait_until(
            lambda: self.running() == count, TIMEOUT, f"{count} running domains, not {self.running()}"
        )

    def running(self) -> int:
        family = self.exporter.metrics().get("libvirt_domain_state")
        samples = family.samples if family else []
        return sum(sample.value == 1 and sample.labels["state"] == "running" for sample in samples)

    def full_disk(self) -> Hardware:
        """Return hardware with an image that cannot grow."""
        image = self.guests.blank(DISK_SIZE, "qcow2")
        size = image.stat().st_size // SECTOR * SECTOR
        return Hardware(second_disk=Disk(image, "qcow2", error_policy="stop", slice_size=size))

    def close(self) -> None:
        with suppress(libvirt.libvirtError):  # the daemon may have been restarted
            self.connection.close()
