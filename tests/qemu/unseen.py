"""What happens to domains while nobody looks, and what must be made of each afterwards."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.domain_xml import Hardware
from tests.lab.guests import IDLE, Guest
from tests.qemu.plays import fails
from tests.qemu.scenario import Play
from tests.qemu.stage import PATIENCE, Stage

Act = Callable[[Stage, bool], None]
"""Takes whether libvirt is there; ends when it is done."""

HOLDABLE = 20
"""How long a guest waits between its boot and its act, in twos of timer ticks: 2 s to take hold of its emulator."""


@dataclass(frozen=True)
class Unseen:
    """`before` is seen, `meanwhile` is not. `counted` is all that comes of it, each pair once."""

    name: str
    before: Play
    meanwhile: Act
    counted: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    guest: Guest = IDLE
    inventory: tuple[str, ...] = ()
    """The changes of the inventory, as change/reason."""
    renamed: tuple[str, ...] = ()
    """What is counted under the name that the domain has afterwards."""
    by_libvirt: bool = False
    """It takes a libvirt that is there."""


def boot(stage: Stage) -> None:
    stage.boot()


def boot_transient(stage: Stage) -> None:
    stage.connection.createXML(stage.xml())
    stage.sees("started/booted")


def boot_and_hold(stage: Stage) -> None:
    """The guest has yet to act, and its emulator is made to wait."""
    stage.boot()
    stage.hears("B")
    stage.emulator(signal.SIGSTOP)
    assert "G" not in stage.guests.said(stage.name), "it was too late to hold it"


def define(stage: Stage) -> None:
    stage.define()


def nothing(_stage: Stage) -> None:
    """It does not exist yet."""


def killed(stage: Stage, libvirt_is_there: bool) -> None:  # noqa: FBT001 - an Act
    pid = stage.daemon.emulator_pid(stage.name)
    stage.emulator(signal.SIGKILL)
    stage.daemon.reaper.wait(pid, PATIENCE)
    if libvirt_is_there:
        stage.sees("stopped")


def goes_on(then: str) -> Act:
    """The guest does what it is made for."""

    def act(stage: Stage, libvirt_is_there: bool) -> None:  # noqa: FBT001 - an Act
        stage.hears("G")
        if libvirt_is_there:
            stage.sees(then)

    return act


def told(act: Callable[[Stage], object]) -> Act:
    """libvirt is told to."""

    def tell(stage: Stage, libvirt_is_there: bool) -> None:  # noqa: FBT001 - an Act
        assert libvirt_is_there
        act(stage)

    return tell


def destroyed_and_started(stage: Stage) -> None:
    stage.domain.destroy()
    stage.domain.create()


def renamed(stage: Stage) -> None:
    stage.others.append(f"{stage.name}-renamed")
    stage.domain.rename(stage.others[0])


def made(stage: Stage) -> None:
    stage.connection.createXML(stage.xml())


def start_failed(stage: Stage) -> None:
    fails(stage.domain.create)


def panics(on_crash: str) -> Guest:
    return Guest("panic", delay=HOLDABLE, hardware=Hardware(panic=True, on_crash=on_crash))


BY_THEMSELVES = (
    Unseen("killed", boot, killed, ("stopped/crashed",), ("crashed",)),
    Unseen("killed-transient", boot_transient, killed, ("stopped/unknown",), inventory=("removed/shutdown",)),
    Unseen(
        "panic-preserve",
        boot_and_hold,
        goes_on("crashed/panicked"),
        ("crashed/panicked",),
        ("crashed",),
        panics("preserve"),
    ),
    Unseen(
        "panic-destroy",
        boot_and_hold,
        goes_on("stopped/crashed"),
        ("stopped/crashed",),
        ("crashed",),
        panics("destroy"),
    ),
    Unseen(
        "poweroff",
        boot_and_hold,
        goes_on("stopped/shutdown"),
        ("stopped/shutdown",),
        guest=Guest("poweroff", delay=HOLDABLE),
    ),
    Unseen("runs-on", boot, lambda _stage, _there: None),
)

BY_LIBVIRT = (
    Unseen("destroyed", boot, told(lambda stage: stage.domain.destroy()), ("stopped/destroyed",)),
    Unseen(
        "destroyed-transient",
        boot_transient,
        told(lambda stage: stage.domain.destroy()),
        ("stopped/unknown",),
        inventory=("removed/shutdown",),
    ),
    Unseen("another-run", boot, told(destroyed_and_started), ("stopped/unknown", "started/booted")),
    Unseen("started", define, told(lambda stage: stage.domain.create()), ("started/booted",)),
    Unseen("made", nothing, told(made), ("started/booted",), inventory=("added/started",)),
    Unseen("paused", boot, told(lambda stage: stage.domain.suspend()), ("suspended/paused",)),
    Unseen("defined", nothing, told(define), ("defined/added",), inventory=("added/defined",)),
    Unseen(
        "undefined",
        define,
        told(lambda stage: stage.domain.undefine()),
        ("undefined/removed",),
        inventory=("removed/undefined",),
    ),
    Unseen(
        "undefined-while-running", boot, told(lambda stage: stage.domain.undefine()), ("undefined/removed",)
    ),
    Unseen("renamed", define, told(renamed), ("undefined/renamed",), renamed=("defined/renamed",)),
    Unseen(
        "start-failed",
        define,
        told(start_failed),
        ("stopped/failed",),
        ("failed",),
        Guest(hardware=Hardware(commandline=("-no-such-option",))),
    ),
    Unseen(
        "saved", boot, told(lambda stage: stage.domain.managedSave()), ("stopped/saved",)
    ),
)
