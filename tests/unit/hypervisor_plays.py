"""What can happen to a domain, and what libvirt sends of it, in its order.

Every play is in steps. After a ``SHORT`` one the next comes within milliseconds, so that only an answer or
the loss of the connection gets in between; after a ``LONG`` one it may take as long as it likes.
"""

from collections.abc import Callable, Iterator
from typing import Final

from tests.unit.hypervisor_stage import Guest, Stage

SHORT, LONG = False, True
Play = Iterator[bool]
OFF, ON, ANY = ("shutoff",), ("running",), ("running", "paused", "crashed", "pmsuspended", "shutdown")


def define(stage: Stage, guest: Guest) -> Play:
    event = "updated" if guest.exists and guest.persistent else "added"
    guest.exists = guest.persistent = True
    stage.tell(guest, "defined", event)
    yield from ()


def undefine(stage: Stage, guest: Guest) -> Play:
    guest.persistent = False
    guest.exists = guest.state != "shutoff"
    if not guest.exists:
        guest.reason = "unknown"
        guest.ailing.clear()
    stage.tell(guest, "undefined", "removed")
    yield from ()


def rename(stage: Stage, guest: Guest) -> Play:
    stage.tell(guest, "undefined", "renamed")
    guest.name = guest.name[0] if guest.name[1:] else guest.name + "-renamed"
    stage.tell(guest, "defined", "renamed")
    yield from ()


def start(stage: Stage, guest: Guest) -> Play:
    stage.begins(guest)
    yield LONG
    guest.state, guest.reason = "running", "booted"
    booted = stage.now()
    stage.tell(guest, "resumed", "unpaused")
    yield SHORT
    stage.tell(guest, "started", "booted", at=booted)


def start_paused(stage: Stage, guest: Guest) -> Play:
    stage.begins(guest)
    yield LONG
    guest.reason = "user"
    stage.tell(guest, "started", "booted")
    yield SHORT
    stage.tell(guest, "suspended", "paused")


def fail_to_start(stage: Stage, guest: Guest) -> Play:
    stage.begins(guest)
    yield LONG
    guest.state, guest.reason, guest.number = "shutoff", "failed", -1
    guest.exists = guest.persistent
    if guest.exists:
        stage.cause(guest, "failed")
        stage.tell(guest, "stopped", "failed", send=False)


def restore(stage: Stage, guest: Guest) -> Play:
    stage.begins(guest)
    yield LONG
    guest.reason = "user"
    stage.tell(guest, "started", "restored")
    yield SHORT
    guest.state, guest.reason = "running", "restored"
    stage.tell(guest, "resumed", "unpaused", "unknown")


def migrate_in(stage: Stage, guest: Guest) -> Play:
    stage.begins(guest)
    yield LONG
    guest.reason = "migration"
    stage.tell(guest, "started", "migrated")
    yield LONG
    guest.state, guest.reason = "running", "migrated"
    stage.tell(guest, "resumed", "migrated")


def migrate_out(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "paused", "migration"
    stage.tell(guest, "suspended", "migrated")
    yield LONG
    guest.ailing.clear()
    stage.ends(guest, "migrated", "migrated")


def pause(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "paused", "user"
    stage.tell(guest, "suspended", "paused")
    yield from ()


def resume(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "running", "unpaused"
    stage.tell(guest, "resumed", "unpaused")
    yield from ()


def fall_asleep(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "pmsuspended", "unknown"
    stage.tell(guest, "pmsuspended", "memory", "unknown")
    yield from ()


def wake_up(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "running", "wakeup"
    stage.tell(guest, "started", "wakeup")
    yield from ()


def save(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason, guest.saved = "paused", "save", True
    stage.tell(guest, "suspended", "paused", "unknown")
    yield LONG
    stage.ends(guest, "saved", "saved")


def destroy(stage: Stage, guest: Guest) -> Play:
    stage.ends(guest, "destroyed", "destroyed")
    yield from ()


def destroy_loudly(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "shutdown", "unknown"
    stage.tell(guest, "shutdown", "host", "unknown")
    yield SHORT
    stage.ends(guest, "destroyed", "destroyed")


def power_off(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "shutdown", "unknown"
    stage.tell(guest, "shutdown", "guest", "unknown")
    yield LONG
    stage.ends(guest, "shutdown", "shutdown")


def terminate(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "shutdown", "unknown"
    stage.tell(guest, "shutdown", "host", "unknown")
    yield LONG
    stage.ends(guest, "shutdown", "shutdown", verdict="quit")


def terminate_in_boot(stage: Stage, guest: Guest) -> Play:
    """libvirt reports the shutdown before the start."""
    stage.begins(guest)
    yield LONG
    stage.tell(guest, "resumed", "unpaused")
    guest.state, guest.reason = "shutdown", "unknown"
    stage.tell(guest, "shutdown", "host", "unknown")
    yield SHORT
    stage.tell(guest, "started", "booted", "unknown")
    yield LONG
    stage.ends(guest, "shutdown", "shutdown", verdict="quit")


def kill(stage: Stage, guest: Guest) -> Play:
    stage.cause(guest, "crashed")
    stage.ends(guest, "failed", "crashed", verdict="crashed")
    yield from ()


def panic(stage: Stage, guest: Guest) -> Play:
    guest.state, guest.reason = "crashed", "panicked"
    stage.cause(guest, "crashed")
    stage.tell(guest, "crashed", "panicked")
    yield from ()


def panic_and_end(stage: Stage, guest: Guest) -> Play:
    yield from panic(stage, guest)
    yield LONG
    stage.ends(guest, "crashed", "crashed")


def panic_and_restart(stage: Stage, guest: Guest) -> Play:
    yield from panic(stage, guest)
    yield LONG
    yield from reboot(stage, guest)
    guest.state, guest.reason = "running", "unpaused"
    stage.tell(guest, "resumed", "unpaused")


def reboot(stage: Stage, guest: Guest) -> Play:
    stage.tell(guest, "rebooted", "reset")
    yield SHORT
    stage.tell(guest, "rebooted", "reset")


def disk_fails(stage: Stage, guest: Guest) -> Play:
    stage.cause(guest, "io_error")
    stage.tell(guest, "io_error", "enospc")
    guest.state, guest.reason = "paused", "ioerror"
    stage.tell(guest, "suspended", "ioerror")
    yield from ()


def _in(*states: str, also: Callable[[Guest], bool] = lambda _: True) -> Callable[[Guest], bool]:
    return lambda guest: guest.exists and guest.state in states and also(guest)


def _startable(guest: Guest) -> bool:
    return not guest.exists or guest.state == "shutoff"


PLAYS: Final[dict[str, tuple[Callable[[Guest], bool], Callable[[Stage, Guest], Play]]]] = {
    "define": (lambda _: True, define),
    "undefine": (lambda guest: guest.exists and guest.persistent, undefine),
    "rename": (_in(*OFF), rename),
    "start": (_startable, start),
    "start_paused": (_startable, start_paused),
    "fail_to_start": (_startable, fail_to_start),
    "restore": (lambda guest: guest.saved and _startable(guest), restore),
    "migrate_in": (_startable, migrate_in),
    "migrate_out": (_in(*ON), migrate_out),
    "pause": (_in(*ON), pause),
    "resume": (_in("paused"), resume),
    "fall_asleep": (_in(*ON), fall_asleep),
    "wake_up": (_in("pmsuspended"), wake_up),
    "save": (_in(*ON), save),
    "destroy": (_in(*ANY), destroy),
    "destroy_loudly": (_in("running", "paused"), destroy_loudly),
    "power_off": (_in(*ON), power_off),
    "terminate": (_in("running", "paused"), terminate),
    "terminate_in_boot": (_startable, terminate_in_boot),
    "kill": (_in("running", "paused", "crashed", "pmsuspended"), kill),
    "panic": (_in(*ON), panic),
    "panic_and_end": (_in(*ON), panic_and_end),
    "panic_and_restart": (_in(*ON), panic_and_restart),
    "reboot": (_in(*ON), reboot),
    "disk_fails": (_in(*ON), disk_fails),
}
