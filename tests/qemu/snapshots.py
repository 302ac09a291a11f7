"""Snapshots and reverting to them, between all the states that a domain can be in."""

from dataclasses import dataclass
from typing import Any

import libvirt

from tests.qemu.scenario import Play
from tests.qemu.stage import Stage

RUNNING, PAUSED, OFFLINE = "running", "paused", "offline"


def take(domain: Any, flags: int = 0) -> Any:
    return domain.snapshotCreateXML("<domainsnapshot/>", flags)


def bring_to(stage: Stage, state: str) -> None:
    domain = stage.domain
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
    """Taken in one state, reverted to from another."""

    taken: str
    reverted: str
    flags: int = 0

    def __call__(self, stage: Stage) -> None:
        stage.define()
        bring_to(stage, self.taken)
        snapshot = take(stage.domain)
        bring_to(stage, self.reverted)
        stage.domain.revertToSnapshot(snapshot, self.flags)


def halting(stage: Stage) -> None:
    """A snapshot that ends the run: the domain is down once it has been taken."""
    take(stage.boot(), libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_HALT)


def redefined_after(stage: Stage) -> None:
    """Reverting also brings back the description of that time."""
    domain = stage.define()
    snapshot = take(domain)
    stage.define(uuid=domain.UUIDString(), title="another")
    domain.revertToSnapshot(snapshot)


def external(stage: Stage) -> None:
    """Reverting to a snapshot in files of its own: libvirt 9.9 and later.

    The overlay is named, for the names that libvirt gives are made of seconds, and reverting within the same
    one would want the same name again.
    """
    domain = stage.boot()
    memory, overlay = stage.file("memory"), stage.file("overlay")
    snapshot = domain.snapshotCreateXML(
        f"<domainsnapshot><memory snapshot='external' file='{memory}'/>"
        f"<disks><disk name='hda' snapshot='external'><source file='{overlay}'/></disk></disks>"
        "</domainsnapshot>"
    )
    domain.revertToSnapshot(snapshot)


def revert(taken: str, reverted: str, flags: int = 0) -> Play:
    return Revert(taken, reverted, flags)
