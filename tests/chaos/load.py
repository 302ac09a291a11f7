"""Load: random operations on many domains, also while the daemon is restarted."""

import os
import random
import signal
import threading
from abc import ABC, abstractmethod
from collections import Counter
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import libvirt

from tests.lab.daemon import Daemon
from tests.lab.guests import Guest, Guests

UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
PAUSE = 0.02
OFF, RUNNING, PAUSED = (
    libvirt.VIR_DOMAIN_SHUTOFF,
    libvirt.VIR_DOMAIN_RUNNING,
    libvirt.VIR_DOMAIN_PAUSED,
)


class LoadGenerator(ABC):
    """A thread with its own connection and random number generator."""

    kind: str
    pause: float

    def __init__(self, daemon: Daemon, names: list[str], seed: int) -> None:
        self.daemon = daemon
        self.names = names
        self.rng = random.Random(f"{seed} {names[0]}")  # noqa: S311 - no secret
        self.succeeded: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"load-{names[0]}", daemon=True)

    @property
    @abstractmethod
    def uri(self) -> str: ...

    @abstractmethod
    def domain_xml(self, name: str) -> str:
        """Return the XML of the domain."""

    @abstractmethod
    def operations(self, state: int) -> tuple[str, ...]:
        """Return the operations that are possible in this state."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._operate(libvirt.open(self.uri))
            except libvirt.libvirtError:
                self._stopping.wait(PAUSE)

    def _operate(self, connection: Any) -> None:
        try:
            self._define_missing(connection)
            while not self._stopping.wait(self.pause) and connection.isAlive():
                self._run_operation(connection, self.rng.choice(self.names))
        finally:
            connection.close()

    def _define_missing(self, connection: Any) -> None:
        """Define domains again: the test driver loses them when its daemon ends."""
        there = {UUID(domain.UUIDString()) for domain in connection.listAllDomains()}
        for name in self.names:
            if uuid_of(name) not in there:
                connection.defineXML(self.domain_xml(name))

    def _run_operation(self, connection: Any, name: str) -> None:
        operation = "lookup"
        try:
            domain = connection.lookupByUUID(uuid_of(name).bytes)
            operation = self.rng.choice(self.operations(domain.state()[0]))
            self.perform(connection, domain, operation)
        except (libvirt.libvirtError, OSError) as error:
            # The domain or the daemon may have ended meanwhile; a killed emulator has no pid file.
            self.failed[operation] += 1
            if getattr(error, "get_error_code", int)() == libvirt.VIR_ERR_NO_DOMAIN:
                connection.defineXML(self.domain_xml(name))
        else:
            self.succeeded[operation] += 1

    def perform(self, connection: Any, domain: Any, operation: str) -> None:
        del connection
        if operation == "rename":
            domain.rename(other_name(domain.name()))
        else:
            getattr(domain, operation)()


class DriverLoad(LoadGenerator):
    """Load on the test driver: many cheap operations."""

    kind = "test"
    pause = 0.004

    @property
    def uri(self) -> str:
        return self.daemon.test_uri

    def domain_xml(self, name: str) -> str:
        return (
            f"<domain type='test'><name>{name}</name><uuid>{uuid_of(name)}</uuid><memory>1024</memory>"
            "<os><type>hvm</type></os></domain>"
        )

    def operations(self, state: int) -> tuple[str, ...]:
        match state:
            case libvirt.VIR_DOMAIN_RUNNING:
                return ("suspend", "suspend", "destroy", "shutdown", "managedSave")
            case libvirt.VIR_DOMAIN_PAUSED:
                return ("resume", "resume", "destroy")
        return ("create", "create", "create", "redefine", "rename")

    def perform(self, connection: Any, domain: Any, operation: str) -> None:
        if operation == "redefine":
            domain.undefineFlags(UNDEFINE)
            connection.defineXML(self.domain_xml(first_name(domain.name())))
        else:
            super().perform(connection, domain, operation)


class GuestLoad(LoadGenerator):
    """Load on real emulators."""

    kind = "qemu"
    pause = 0.02

    def __init__(self, daemon: Daemon, names: list[str], seed: int, guests: Guests) -> None:
        super().__init__(daemon, names, seed)
        # Every second guest obeys a shutdown.
        modes = ("idle", "powerbutton")
        self._xml = {
            name: guests.xml(name, Guest(modes[number % 2])).replace(
                "<memory", f"<uuid>{uuid_of(name)}</uuid><memory", 1
            )
            for number, name in enumerate(names)
        }

    @property
    def uri(self) -> str:
        return self.daemon.uri

    def domain_xml(self, name: str) -> str:
        return self._xml[name]

    def operations(self, state: int) -> tuple[str, ...]:
        match state:
            case libvirt.VIR_DOMAIN_RUNNING:
                return ("suspend", "suspend", "shutdown", "destroy", "managedSave", "SIGKILL", "SIGTERM")
            case libvirt.VIR_DOMAIN_PAUSED:
                return ("resume", "resume", "resume", "destroy", "SIGKILL")
        return ("create", "create", "create", "rename")

    def perform(self, connection: Any, domain: Any, operation: str) -> None:
        if operation.startswith("SIG"):
            os.kill(self.daemon.emulator_pid(domain.name()), signal.Signals[operation])
        else:
            super().perform(connection, domain, operation)


def uuid_of(name: str) -> UUID:
    """Return the UUID of the domain, the same after each redefinition."""
    return UUID(int=int.from_bytes(name.encode().rjust(16, b"-")[-16:]))


RENAMED = "-renamed"


def names_of(name: str) -> tuple[str, str]:
    """Return all names that a domain may have, by its first one."""
    return name, name + RENAMED


def first_name(name: str) -> str:
    return name.removesuffix(RENAMED)


def other_name(name: str) -> str:
    """Return the name that a domain is renamed to."""
    return first_name(name) if name.endswith(RENAMED) else name + RENAMED
