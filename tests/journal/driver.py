"""Domains of libvirt's test driver in a daemon: no emulators, fast transitions."""

from contextlib import suppress
from typing import Any, Self

import libvirt

from tests.lab.daemon import Daemon

UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


def xml(name: str) -> str:
    return f"<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>"


class Driver:
    def __init__(self, daemon: Daemon) -> None:
        self.connection: Any = libvirt.open(daemon.test_uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(libvirt.libvirtError):
            self.connection.close()

    def define(self, name: str, *, running: bool = False) -> Any:
        domain = self.connection.defineXML(xml(name))
        if running:
            domain.create()
        return domain

    def find(self, name: str) -> Any:
        return self.connection.lookupByName(name)

    def cycle(self, name: str) -> None:
        """Start, suspend, resume and destroy a domain that is shut off: four transitions."""
        domain = self.find(name)
        domain.create()
        domain.suspend()
        domain.resume()
        domain.destroy()
