"""What a scenario acts on: one domain, named after it, on one daemon, with its recorder."""

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
PATIENCE = 30.0


class Stage:
    def __init__(
        self, name: str, guest: Guest, daemon: Daemon, guests: Guests, recorder: EventRecorder
    ) -> None:
        self.name = name
        self.guest = guest
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.connection: Any = daemon.connect()
        self.others: list[str] = []
        """Further names of domains that the scenario makes or takes."""

    @property
    def domain(self) -> Any:
        return self.connection.lookupByName(self.name)

    def xml(self, **hardware: Any) -> str:
        guest = replace(self.guest, hardware=replace(self.guest.hardware, **hardware))
        return self.guests.xml(self.name, guest)

    def define(self, **hardware: Any) -> Any:
        return self.connection.defineXML(self.xml(**hardware))

    def boot(self, **hardware: Any) -> Any:
        """Defined, started, and known to have been."""
        domain = self.define(**hardware)
        domain.create()
        self.sees("started/booted")
        return domain

    def sees(self, pair: str, count: int = 1) -> None:
        event, _, reason = pair.partition("/")
        self.recorder.wait_for(self.name, event, reason or None, count=count, timeout=PATIENCE)

    def heard(self, kind: str) -> bool:
        return any(event.kind == kind for event in self.recorder.events(self.name))

    def hears(self, letter: str, count: int = 1) -> None:
        """The guest itself, on its serial port."""
        until(
            lambda: self.guests.serial_output(self.name).count(letter) >= count,
            PATIENCE,
            f"{self.name} to say {letter} {count} times; it said {self.guests.serial_output(self.name)!r}",
        )

    def emulator(self, how: signal.Signals) -> None:
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
        """Whatever became of the domain, it is gone, and no event of it is left to come."""
        for name in (self.name, *self.others):
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
        """After the daemon has been started again, and has found the emulator again."""
        self.close()
        self.connection = self.daemon.connect()
        # Until then libvirt sends nothing of what becomes of it. This waits for the emulator's answer.
        # A transient domain may have ended meanwhile.
        here = [domain for domain in self.connection.listAllDomains() if domain.name() == self.name]
        if here:
            self.connection.domainListGetStats(here, libvirt.VIR_DOMAIN_STATS_IOTHREAD, 0)

    def close(self) -> None:
        with suppress(libvirt.libvirtError):  # the daemon may be another by now
            self.connection.close()


@contextmanager
def on_stage(stage: Stage) -> Iterator[Stage]:
    try:
        yield stage
    finally:
        stage.clear()
        stage.close()
