"""Random operations on many domains, whatever becomes of the daemon meanwhile."""

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


class Storm(ABC):
    """A thread with a connection and dice of its own."""

    kind: str
    rest: float

    def __init__(self, daemon: Daemon, names: list[str], seed: int) -> None:
        self.daemon = daemon
        self.names = names
        self.dice = random.Random(f"{seed} {names[0]}")  # noqa: S311 - no secret
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"storm-{names[0]}", daemon=True)

    @property
    @abstractmethod
    def uri(self) -> str: ...

    @abstractmethod
    def describe(self, name: str) -> str:
        """XML."""

    @abstractmethod
    def acts(self, state: int) -> tuple[str, ...]:
        """What can be done to a domain in this state."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.calm()

    def calm(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                self._blow(libvirt.open(self.uri))
            except libvirt.libvirtError:
                self._over.wait(PAUSE)

    def _blow(self, connection: Any) -> None:
        try:
            self._define_what_is_missing(connection)
            while not self._over.wait(self.rest) and connection.isAlive():
                self._act(connection, self.dice.choice(self.names))
        finally:
            connection.close()

    def _define_what_is_missing(self, connection: Any) -> None:
        """The test driver forgets everything when its daemon ends."""
        there = {UUID(domain.UUIDString()) for domain in connection.listAllDomains()}
        for name in self.names:
            if uuid_of(name) not in there:
                connection.defineXML(self.describe(name))

    def _act(self, connection: Any, name: str) -> None:
        act = "look"
        try:
            domain = connection.lookupByUUID(uuid_of(name).bytes)
            act = self.dice.choice(self.acts(domain.state()[0]))
            self.do(connection, domain, act)
        except (libvirt.libvirtError, OSError) as error:
            # It may have ended meanwhile, or the daemon has; an emulator that was killed has no pid any more.
            self.failed[act] += 1
            if getattr(error, "get_error_code", int)() == libvirt.VIR_ERR_NO_DOMAIN:
                connection.defineXML(self.describe(name))
        else:
            self.done[act] += 1

    def do(self, connection: Any, domain: Any, act: str) -> None:
        del connection
        if act == "rename":
            domain.rename(other_name(domain.name()))
        else:
            getattr(domain, act)()


class DriverStorm(Storm):
    """The test driver's: cheap and fast."""

    kind = "test"
    rest = 0.004

    @property
    def uri(self) -> str:
        return self.daemon.test_uri

    def describe(self, name: str) -> str:
        return (
            f"<domain type='test'><name>{name}</name><uuid>{uuid_of(name)}</uuid><memory>1024</memory>"
            "<os><type>hvm</type></os></domain>"
        )

    def acts(self, state: int) -> tuple[str, ...]:
        match state:
            case libvirt.VIR_DOMAIN_RUNNING:
                return ("suspend", "suspend", "destroy", "shutdown", "managedSave")
            case libvirt.VIR_DOMAIN_PAUSED:
                return ("resume", "resume", "destroy")
        return ("create", "create", "create", "redefine", "rename")

    def do(self, connection: Any, domain: Any, act: str) -> None:
        if act == "redefine":
            domain.undefineFlags(UNDEFINE)
            connection.defineXML(self.describe(first_name(domain.name())))
        else:
            super().do(connection, domain, act)


class GuestStorm(Storm):
    """Real emulators."""

    kind = "qemu"
    rest = 0.02

    def __init__(self, daemon: Daemon, names: list[str], seed: int, guests: Guests) -> None:
        super().__init__(daemon, names, seed)
        # Every second one obeys a shutdown.
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

    def describe(self, name: str) -> str:
        return self._xml[name]

    def acts(self, state: int) -> tuple[str, ...]:
        match state:
            case libvirt.VIR_DOMAIN_RUNNING:
                return ("suspend", "suspend", "shutdown", "destroy", "managedSave", "SIGKILL", "SIGTERM")
            case libvirt.VIR_DOMAIN_PAUSED:
                return ("resume", "resume", "resume", "destroy", "SIGKILL")
        return ("create", "create", "create", "rename")

    def do(self, connection: Any, domain: Any, act: str) -> None:
        if act.startswith("SIG"):
            os.kill(self.daemon.emulator_pid(domain.name()), signal.Signals[act])
        else:
            super().do(connection, domain, act)


def uuid_of(name: str) -> UUID:
    """The same after each redefinition."""
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
