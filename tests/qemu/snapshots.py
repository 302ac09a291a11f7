"""Snapshots, and reverting to them between all states of a domain."""

from dataclasses import dataclass
from typing import Any

import libvirt

from tests.qemu.domain_driver import DomainDriver
from tests.qemu.scenario import Operation

RUNNING, PAUSED, OFFLINE = "running", "paused", "offline"


def take(domain: Any, flags: int = 0) -> Any:
    return domain.snapshotCreateXML("<domainsnapshot/>", flags)


def bring_to(driver: DomainDriver, state: str) -> None:
    domain = driver.domain
    if state == OFFLINE:
        domain.isActive() and domain.destroy()
        return
    if not domain.isActive():
        domain.create()
    paused = domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
    if paused and state == RUNNING:
        domain.resume()
    if not paused and state == PAUSED:
        domain.suspend()


@dataclass(frozen=True)
class Revert:
    """Revert to a snapshot of the state `taken` in the state `reverted`."""

    taken: str
    reverted: str
    flags: int = 0

    def __call__(self, driver: DomainDriver) -> None:
        driver.define()
        bring_to(driver, self.taken)
        snapshot = take(driver.domain)
        bring_to(driver, self.reverted)
        driver.domain.revertToSnapshot(snapshot, self.flags)


def halting(driver: DomainDriver) -> None:
    """A snapshot that stops the domain."""
    take(driver.boot(), libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_HALT)


def redefined_after(driver: DomainDriver) -> None:
    """Reverting restores the definition of the snapshot."""
    domain = driver.define()
    snapshot = take(domain)
    driver.define(uuid=domain.UUIDString(), title="another")
    domain.revertToSnapshot(snapshot)


def external(driver: DomainDriver) -> None:
    """Revert to an external snapshot, which libvirt supports from 9.9 on.

    The overlay has an explicit name: the default name contains the time in seconds, and reverting within the
    same second would use the same name again.
    """
    domain = driver.boot()
    memory, overlay = driver.file("memory"), driver.file("overlay")
    snapshot = domain.snapshotCreateXML(
        f"<domainsnapshot><memory snapshot='external' file='{memory}'/>"
        f"<disks><disk name='hda' snapshot='external'><source file='{overlay}'/></disk></disks>"
        "</domainsnapshot>"
    )
    domain.revertToSnapshot(snapshot)


def revert(taken: str, reverted: str, flags: int = 0) -> Operation:
    return Revert(taken, reverted, flags)
