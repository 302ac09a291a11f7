"""Events during an outage, and the transitions that the exporter must infer for each."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.domain_xml import Hardware
from tests.lab.guests import IDLE, Guest
from tests.qemu import operations
from tests.qemu.domain_driver import TIMEOUT, DomainDriver
from tests.qemu.scenario import Operation

FREEZE_DELAY = 20
"""Delay of a guest between boot and action, in units of two timer ticks: 2 s in which it can be frozen."""


def nothing(_driver: DomainDriver) -> None:
    pass


@dataclass(frozen=True)
class MissedEvent:
    """`before` is observed, `meanwhile` happens during the outage. `counted`: all pairs that are counted
    for it.
    """

    name: str
    before: Operation
    meanwhile: Operation = nothing
    counted: tuple[str, ...] = ()
    incident: str = ""
    """Kind of the incident that it opens."""
    guest: Guest = IDLE
    libvirt_event: str = ""
    """The event that libvirt sends if it runs: libvirt notices the end of an emulator later."""
    without_libvirt: tuple[str, ...] = ()
    """Pairs that are counted if libvirt did not run either; empty: the same pairs."""
    inventory: tuple[str, ...] = ()
    """Inventory changes, as change/reason."""
    renamed: tuple[str, ...] = ()
    """Pairs that are counted under the later name of the domain."""

    in_order: bool = True
    """Whether the order of `counted` is checked: pairs of two domains have no order."""

    def expected(self, *, libvirt_is_there: bool) -> tuple[str, ...]:
        return self.counted if libvirt_is_there else self.without_libvirt or self.counted


def ignore_result(call: Callable[[DomainDriver], object]) -> Operation:
    def operation(driver: DomainDriver) -> None:
        call(driver)

    return operation


define, boot = ignore_result(DomainDriver.define), ignore_result(DomainDriver.boot)
start = ignore_result(lambda driver: driver.domain.create())
destroy = ignore_result(lambda driver: driver.domain.destroy())
suspend = ignore_result(lambda driver: driver.domain.suspend())
undefine = ignore_result(lambda driver: driver.domain.undefine())
save = ignore_result(lambda driver: driver.domain.managedSave())
create_transient = ignore_result(lambda driver: driver.connection.createXML(driver.xml()))


def boot_and_freeze(driver: DomainDriver, **hardware: Any) -> None:
    """Boot the guest, and stop its emulator before the guest acts."""
    driver.boot(**hardware)
    driver.wait_serial("B")
    driver.signal_emulator(signal.SIGSTOP)
    assert "G" not in driver.guests.serial_output(driver.name), "the guest acted before it was frozen"


def boot_and_destroy(driver: DomainDriver) -> None:
    driver.boot().destroy()


def boot_and_kill(driver: DomainDriver) -> None:
    driver.boot()
    kill(driver)
    driver.wait_event("stopped")


def boot_and_pause(driver: DomainDriver) -> None:
    driver.boot().suspend()


def boot_and_panic(driver: DomainDriver) -> None:
    driver.boot()
    driver.wait_event("crashed/panicked")


def kill(driver: DomainDriver) -> None:
    pid = driver.daemon.emulator_pid(driver.name)
    driver.signal_emulator(signal.SIGKILL)
    driver.daemon.processes.wait(pid, TIMEOUT)


def act(driver: DomainDriver) -> None:
    """Wait for the action of the guest whose emulator was continued."""
    driver.wait_serial("G")


def run_again(driver: DomainDriver) -> None:
    driver.domain.destroy()
    driver.domain.create()


def run_and_save(driver: DomainDriver) -> None:
    driver.domain.create()
    driver.domain.managedSave()


def pause_and_resume(driver: DomainDriver) -> None:
    driver.domain.suspend()
    driver.domain.resume()


def rename(driver: DomainDriver) -> None:
    driver.other_names.append(f"{driver.name}-renamed")
    driver.domain.rename(driver.other_names[0])


def replace(driver: DomainDriver) -> None:
    """Define another domain with the same name."""
    driver.domain.undefine()
    driver.define()


def make_persistent(driver: DomainDriver) -> None:
    driver.define(uuid=driver.domain.UUIDString())


def create_and_destroy(driver: DomainDriver) -> None:
    driver.connection.createXML(driver.xml()).destroy()


def fail_to_start(driver: DomainDriver) -> None:
    operations.expect_error(driver.domain.create)


def panics(on_crash: str, delay: int = FREEZE_DELAY) -> Guest:
    return Guest("panic", delay, hardware=Hardware(panic=True, on_crash=on_crash))


POWEROFF = Guest("poweroff", FREEZE_DELAY)
UNSTARTABLE = Guest(hardware=Hardware(commandline=("-no-such-option",)))
GONE = ("removed/shutdown",)

WITHOUT_LIBVIRT = (
    MissedEvent("killed", boot, kill, ("stopped/crashed",), "crashed", libvirt_event="stopped/failed"),
    MissedEvent(
        "killed-transient",
        create_transient,
        kill,
        ("stopped/unknown",),
        libvirt_event="stopped/failed",
        inventory=GONE,
    ),
    MissedEvent(
        "panic-preserve",
        boot_and_freeze,
        act,
        ("crashed/panicked",),
        "crashed",
        panics("preserve"),
        libvirt_event="crashed/panicked",
    ),
    # A libvirt that reconnects to a panicked guest only sets its state to crashed.
    MissedEvent(
        "panic-destroy",
        boot_and_freeze,
        act,
        ("stopped/crashed",),
        "crashed",
        panics("destroy"),
        libvirt_event="stopped/crashed",
        without_libvirt=("crashed/panicked",),
    ),
    MissedEvent(
        "poweroff",
        boot_and_freeze,
        act,
        ("stopped/shutdown",),
        guest=POWEROFF,
        libvirt_event="stopped/shutdown",
    ),
    MissedEvent("runs-on", boot),
    MissedEvent("stays-off", boot_and_destroy),
    MissedEvent("stays-crashed", boot_and_kill),
    MissedEvent("stays-panicked", boot_and_panic, guest=panics("preserve", 2)),
    MissedEvent("stays-paused", boot_and_pause),
    MissedEvent("stays-transient", create_transient),
)
"""Events that happen without libvirt, and states without an event: libvirt loses reasons when it restarts."""

NEEDS_LIBVIRT = (
    MissedEvent("destroyed", boot, destroy, ("stopped/destroyed",)),
    MissedEvent("destroyed-transient", create_transient, destroy, ("stopped/unknown",), inventory=GONE),
    MissedEvent("saved", boot, save, ("stopped/saved",)),
    MissedEvent("another-run", boot, run_again, ("stopped/unknown", "started/booted")),
    MissedEvent("a-run-between", boot_and_destroy, run_and_save, ("started/unknown", "stopped/saved")),
    MissedEvent("started", define, start, ("started/booted",)),
    MissedEvent("start-failed", define, fail_to_start, ("stopped/failed",), "failed", UNSTARTABLE),
    MissedEvent("paused", boot, suspend, ("suspended/paused",)),
    MissedEvent("paused-and-resumed", boot, pause_and_resume),
    MissedEvent("made", nothing, create_transient, ("started/booted",), inventory=("added/started",)),
    MissedEvent("made-and-destroyed", nothing, create_and_destroy),
    MissedEvent("made-persistent", create_transient, make_persistent, ("defined/added",)),
    MissedEvent("defined", nothing, define, ("defined/added",), inventory=("added/defined",)),
    MissedEvent("undefined", define, undefine, ("undefined/removed",), inventory=("removed/undefined",)),
    MissedEvent("undefined-while-running", boot, undefine, ("undefined/removed",)),
    MissedEvent("renamed", define, rename, ("undefined/renamed",), renamed=("defined/renamed",)),
    MissedEvent(
        "replaced",
        define,
        replace,
        ("undefined/removed", "defined/added"),
        inventory=("removed/undefined", "added/defined"),
        in_order=False,
    ),
)

ALL = (*WITHOUT_LIBVIRT, *NEEDS_LIBVIRT)


def release(driver: DomainDriver) -> None:
    """Continue the emulator if it was frozen."""
    if driver.guest.delay == FREEZE_DELAY:
        driver.signal_emulator(signal.SIGCONT)
