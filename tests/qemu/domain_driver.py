"""Driver of one domain on one daemon, with the recorder of its events."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.guests import Guest, Guests
from tests.lab.waiting import until

UNDEFINE_ALL = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
TIMEOUT = 30.0


class DomainDriver:
    def __init__(
        self, name: str, guest: Guest, daemon: Daemon, guests: Guests, recorder: EventRecorder
    ) -> None:
        self.name = name
        self.guest = guest
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.connection: Any = daemon.connect()
        self.other_names: list[str] = []
        """Further names of the domain, or of other domains of the scenario."""

    @property
    def domain(self) -> Any:
        return self.connection.lookupByName(self.name)

    def xml(self, **hardware: Any) -> str:
        guest = replace(self.guest, hardware=replace(self.guest.hardware, **hardware))
        return self.guests.xml(self.name, guest)

    def define(self, **hardware: Any) -> Any:
        return self.connection.defineXML(self.xml(**hardware))

    def boot(self, **hardware: Any) -> Any:
        """Define and start the domain; wait until the start is recorded."""
        domain = self.define(**hardware)
        domain.create()
        self.wait_event("started/booted")
        return domain

    def wait_event(self, pair: str, count: int = 1) -> None:
        event, _, reason = pair.partition("/")
        self.recorder.wait_for(self.name, event, reason or None, count=count, timeout=TIMEOUT)

    def has_event(self, kind: str) -> bool:
        return any(event.kind == kind for event in self.recorder.events(self.name))

    def wait_serial(self, letter: str, count: int = 1) -> None:
        """Wait for the output of the guest on its serial port."""
        until(
            lambda: self.guests.serial_output(self.name).count(letter) >= count,
            TIMEOUT,
            f"{self.name} to write {letter} {count} times; it wrote {self.guests.serial_output(self.name)!r}",
        )

    def signal_emulator(self, how: signal.Signals) -> None:
        os.kill(self.daemon.emulator_pid(self.name), how)

    def boot_image(self) -> Path:
        source = ET.fromstring(self.domain.XMLDesc()).find("./devices/disk/source")  # noqa: S314 - libvirt's own
        assert source is not None
        return Path(source.attrib["file"])

    def file(self, name: str) -> Path:
        return self.guests.folder / f"{self.name}-{name}"

    def state(self) -> tuple[int, int]:
        state, reason = self.domain.state()
        return state, reason

    def clear(self) -> None:
        """Remove the domain in any state."""
        for name in (self.name, *self.other_names):
            try:
                domain = self.connection.lookupByName(name)
            except libvirt.libvirtError:
                continue
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                domain.undefineFlags(UNDEFINE_ALL)

    def reopen(self) -> None:
        """Reconnect after a start of the daemon, and wait until libvirt is connected to the emulator."""
        self.close()
        self.connection = self.daemon.connect()
        # Until it is connected to the emulator, libvirt sends no events. This call waits for the emulator.
        # A transient domain may have ended meanwhile.
        here = [domain for domain in self.connection.listAllDomains() if domain.name() == self.name]
        if here:
            self.connection.domainListGetStats(here, libvirt.VIR_DOMAIN_STATS_IOTHREAD, 0)

    def close(self) -> None:
        with suppress(libvirt.libvirtError):  # the daemon may have been restarted
            self.connection.close()


@contextmanager
def managed_domain(driver: DomainDriver) -> Iterator[DomainDriver]:
    try:
        yield driver
    finally:
        driver.clear()
        driver.close()
