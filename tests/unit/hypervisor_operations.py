"""Operations on domains, and the events that libvirt sends for them, in its order.

Every operation has steps. After a ``SHORT`` step the next one follows within milliseconds: only an answer
or a lost connection comes between. After a ``LONG`` step any time may pass.
"""

from collections.abc import Callable, Iterator
from typing import Final

from tests.unit.hypervisor_state import Guest, HypervisorState

SHORT, LONG = False, True
Operation = Iterator[bool]
OFF, ON, ANY = ("shutoff",), ("running",), ("running", "paused", "crashed", "pmsuspended", "shutdown")


def define(hypervisor: HypervisorState, guest: Guest) -> Operation:
    event = "updated" if guest.exists and guest.persistent else "added"
    guest.exists = guest.persistent = True
    hypervisor.record(guest, "defined", event)
    yield from ()


def undefine(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.persistent = False
    guest.exists = guest.state != "shutoff"
    if not guest.exists:
        guest.reason = "unknown"
        guest.open_incidents.clear()
    hypervisor.record(guest, "undefined", "removed")
    yield from ()


def rename(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.record(guest, "undefined", "renamed")
    guest.name = guest.name[0] if guest.name[1:] else guest.name + "-renamed"
    hypervisor.record(guest, "defined", "renamed")
    yield from ()


def start(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.begin_run(guest)
    yield LONG
    guest.state, guest.reason = "running", "booted"
    booted = hypervisor.now()
    hypervisor.record(guest, "resumed", "unpaused")
    yield SHORT
    hypervisor.record(guest, "started", "booted", at=booted)


def start_paused(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.begin_run(guest)
    yield LONG
    guest.reason = "user"
    hypervisor.record(guest, "started", "booted")
    yield SHORT
    hypervisor.record(guest, "suspended", "paused")


def fail_to_start(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.begin_run(guest)
    yield LONG
    guest.state, guest.reason, guest.number = "shutoff", "failed", -1
    guest.exists = guest.persistent
    if guest.exists:
        hypervisor.record_cause(guest, "failed")
        hypervisor.record(guest, "stopped", "failed", send=False)


def restore(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.begin_run(guest)
    yield LONG
    guest.reason = "user"
    hypervisor.record(guest, "started", "restored")
    yield SHORT
    guest.state, guest.reason = "running", "restored"
    hypervisor.record(guest, "resumed", "unpaused", "unknown")


def migrate_in(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.begin_run(guest)
    yield LONG
    guest.reason = "migration"
    hypervisor.record(guest, "started", "migrated")
    yield LONG
    guest.state, guest.reason = "running", "migrated"
    hypervisor.record(guest, "resumed", "migrated")


def migrate_out(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "paused", "migration"
    hypervisor.record(guest, "suspended", "migrated")
    yield LONG
    guest.open_incidents.clear()
    hypervisor.end_run(guest, "migrated", "migrated")


def pause(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "paused", "user"
    hypervisor.record(guest, "suspended", "paused")
    yield from ()


def resume(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "running", "unpaused"
    hypervisor.record(guest, "resumed", "unpaused")
    yield from ()


def fall_asleep(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "pmsuspended", "unknown"
    hypervisor.record(guest, "pmsuspended", "memory", "unknown")
    yield from ()


def wake_up(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "running", "wakeup"
    hypervisor.record(guest, "started", "wakeup")
    yield from ()


def save(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason, guest.saved = "paused", "save", True
    hypervisor.record(guest, "suspended", "paused", "unknown")
    yield LONG
    hypervisor.end_run(guest, "saved", "saved")


def destroy(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.end_run(guest, "destroyed", "destroyed")
    yield from ()


def destroy_loudly(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "shutdown", "unknown"
    hypervisor.record(guest, "shutdown", "host", "unknown")
    yield SHORT
    hypervisor.end_run(guest, "destroyed", "destroyed")


def power_off(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "shutdown", "unknown"
    hypervisor.record(guest, "shutdown", "guest", "unknown")
    yield LONG
    hypervisor.end_run(guest, "shutdown", "shutdown")


def terminate(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "shutdown", "unknown"
    hypervisor.record(guest, "shutdown", "host", "unknown")
    yield LONG
    hypervisor.end_run(guest, "shutdown", "shutdown", verdict="quit")


def terminate_in_boot(hypervisor: HypervisorState, guest: Guest) -> Operation:
    """libvirt reports the shutdown before the start."""
    hypervisor.begin_run(guest)
    yield LONG
    hypervisor.record(guest, "resumed", "unpaused")
    guest.state, guest.reason = "shutdown", "unknown"
    hypervisor.record(guest, "shutdown", "host", "unknown")
    yield SHORT
    hypervisor.record(guest, "started", "booted", "unknown")
    yield LONG
    hypervisor.end_run(guest, "shutdown", "shutdown", verdict="quit")


def kill(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.record_cause(guest, "crashed")
    hypervisor.end_run(guest, "failed", "crashed", verdict="crashed")
    yield from ()


def panic(hypervisor: HypervisorState, guest: Guest) -> Operation:
    guest.state, guest.reason = "crashed", "panicked"
    hypervisor.record_cause(guest, "crashed")
    hypervisor.record(guest, "crashed", "panicked")
    yield from ()


def panic_and_end(hypervisor: HypervisorState, guest: Guest) -> Operation:
    yield from panic(hypervisor, guest)
    yield LONG
    hypervisor.end_run(guest, "crashed", "crashed")


def panic_and_restart(hypervisor: HypervisorState, guest: Guest) -> Operation:
    yield from panic(hypervisor, guest)
    yield LONG
    yield from reboot(hypervisor, guest)
    guest.state, guest.reason = "running", "unpaused"
    hypervisor.record(guest, "resumed", "unpaused")


def reboot(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.record(guest, "rebooted", "reset")
    yield SHORT
    hypervisor.record(guest, "rebooted", "reset")


def disk_fails(hypervisor: HypervisorState, guest: Guest) -> Operation:
    hypervisor.record_cause(guest, "io_error")
    hypervisor.record(guest, "io_error", "enospc")
    guest.state, guest.reason = "paused", "ioerror"
    hypervisor.record(guest, "suspended", "ioerror")
    yield from ()


def _in(*states: str, also: Callable[[Guest], bool] = lambda _: True) -> Callable[[Guest], bool]:
    return lambda guest: guest.exists and guest.state in states and also(guest)


def _startable(guest: Guest) -> bool:
    return not guest.exists or guest.state == "shutoff"


OPERATIONS: Final[
    dict[str, tuple[Callable[[Guest], bool], Callable[[HypervisorState, Guest], Operation]]]
] = {
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
