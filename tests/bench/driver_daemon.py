"""A libvirtd with domains of the test driver, which clients reach over its socket: real RPC, no QEMU.

The domains belong to test:///default, which all clients of the daemon share; it lasts as long as one of them
is connected.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt

from tests.lab.daemon import short_root
from tests.lab.session_daemon import SessionDaemon

DOMAIN = (
    "<domain type='test'><name>vm-{0}</name><uuid>00000000-0000-4000-8000-{0:012}</uuid>"
    "<memory>65536</memory><os><type>hvm</type></os></domain>"
)


def create_domains(connection: Any, count: int) -> list[Any]:
    """Replace the domains of the driver by `count` running ones: vm-0, vm-1, ..."""
    for old in connection.listAllDomains():
        with suppress(libvirt.libvirtError):  # transient: gone when it is destroyed
            old.destroy()
            old.undefine()
    return [connection.createXML(DOMAIN.format(number)) for number in range(count)]


class DriverDaemon(SessionDaemon):
    """The daemon, and the connection that keeps its domains."""

    connection: Any
    domains: list[Any]

    def populate(self, count: int) -> None:
        self.connection = libvirt.open(self.test_uri)
        self.domains = create_domains(self.connection, count)

    def targets(self, connections: int) -> list[str]:
        """Return values for --libvirt.uri: that many connections, each of which has all the domains."""
        return [f"c{number}={self.test_uri}" for number in range(connections)]


@contextmanager
def driver_daemon(domains: int) -> Iterator[tuple[Path, DriverDaemon]]:
    """Start a daemon with this number of domains; yields a folder for the processes of its clients, too."""
    with short_root() as root, DriverDaemon(root / "daemon") as daemon:
        daemon.populate(domains)
        yield root, daemon
