"""What happens to domains while nobody looks, and what must be made of each afterwards."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.domain_xml import Hardware
from tests.lab.guests import IDLE, Guest
from tests.qemu import plays
from tests.qemu.scenario import Play
from tests.qemu.stage import PATIENCE, Stage

HOLDABLE = 20
"""How long a guest waits between its boot and its act, in twos of timer ticks: 2 s to take hold of it."""


def nothing(_stage: Stage) -> None:
    pass


@dataclass(frozen=True)
class Unseen:
    """`before` is seen, `meanwhile` is not: each ends when it is done. `counted` is all that comes of it."""

    name: str
    before: Play
    meanwhile: Play = nothing
    counted: tuple[str, ...] = ()
    incident: str = ""
    """The kind of the incident that it opens."""
    guest: Guest = IDLE
    then: str = ""
    """What libvirt says of it, if it is there: an emulator's end is libvirt's affair only later."""
    without_libvirt: tuple[str, ...] = ()
    """What is counted where libvirt was not there to see it either; empty: the same."""
    inventory: tuple[str, ...] = ()
    """The changes of the inventory, as change/reason."""
    renamed: tuple[str, ...] = ()
    """What is counted under the name that the domain has afterwards."""

    in_order: bool = True
    """Whether `counted` is to come in its order: two domains have none between them."""

    def expected(self, *, libvirt_is_there: bool) -> tuple[str, ...]:
        return self.counted if libvirt_is_there else self.without_libvirt or self.counted


def by_libvirt(act: Callable[[Stage], object]) -> Play:
    def play(stage: Stage) -> None:
        act(stage)

    return play


define, boot = by_libvirt(Stage.define), by_libvirt(Stage.boot)
start = by_libvirt(lambda stage: stage.domain.create())
destroy = by_libvirt(lambda stage: stage.domain.destroy())
suspend = by_libvirt(lambda stage: stage.domain.suspend())
undefine = by_libvirt(lambda stage: stage.domain.undefine())
save = by_libvirt(lambda stage: stage.domain.managedSave())
make = by_libvirt(lambda stage: stage.connection.createXML(stage.xml()))


def boot_and_hold(stage: Stage, **hardware: Any) -> None:
    """The guest has yet to act, and its emulator is made to wait."""
    stage.boot(**hardware)
    stage.hears("B")
    stage.emulator(signal.SIGSTOP)
    assert "G" not in stage.guests.serial_output(stage.name), "it was too late to hold it"


def boot_and_destroy(stage: Stage) -> None:
    stage.boot().destroy()


def boot_and_kill(stage: Stage) -> None:
    stage.boot()
    kill(stage)
    stage.sees("stopped")


def boot_and_pause(stage: Stage) -> None:
    stage.boot().suspend()


def boot_and_panic(stage: Stage) -> None:
    stage.boot()
    stage.sees("crashed/panicked")


def kill(stage: Stage) -> None:
    pid = stage.daemon.emulator_pid(stage.name)
    stage.emulator(signal.SIGKILL)
    stage.daemon.processes.wait(pid, PATIENCE)


def act(stage: Stage) -> None:
    """The guest that was held has been let go."""
    stage.hears("G")


def run_again(stage: Stage) -> None:
    stage.domain.destroy()
    stage.domain.create()


def run_and_save(stage: Stage) -> None:
    stage.domain.create()
    stage.domain.managedSave()


def pause_and_resume(stage: Stage) -> None:
    stage.domain.suspend()
    stage.domain.resume()


def rename(stage: Stage) -> None:
    stage.others.append(f"{stage.name}-renamed")
    stage.domain.rename(stage.others[0])


def replace(stage: Stage) -> None:
    """Another domain under the same name."""
    stage.domain.undefine()
    stage.define()


def make_persistent(stage: Stage) -> None:
    stage.define(uuid=stage.domain.UUIDString())


def make_and_destroy(stage: Stage) -> None:
    stage.connection.createXML(stage.xml()).destroy()


def fail_to_start(stage: Stage) -> None:
    plays.fails(stage.domain.create)


def panics(on_crash: str, delay: int = HOLDABLE) -> Guest:
    return Guest("panic", delay, hardware=Hardware(panic=True, on_crash=on_crash))


POWEROFF = Guest("poweroff", HOLDABLE)
UNSTARTABLE = Guest(hardware=Hardware(commandline=("-no-such-option",)))
GONE = ("removed/shutdown",)

WITHOUT_LIBVIRT = (
    Unseen("killed", boot, kill, ("stopped/crashed",), "crashed", then="stopped/failed"),
    Unseen("killed-transient", make, kill, ("stopped/unknown",), then="stopped/failed", inventory=GONE),
    Unseen(
        "panic-preserve",
        boot_and_hold,
        act,
        ("crashed/panicked",),
        "crashed",
        panics("preserve"),
        then="crashed/panicked",
    ),
    # A libvirt that comes back to a guest that has panicked calls it crashed, and leaves it at that.
    Unseen(
        "panic-destroy",
        boot_and_hold,
        act,
        ("stopped/crashed",),
        "crashed",
        panics("destroy"),
        then="stopped/crashed",
        without_libvirt=("crashed/panicked",),
    ),
    Unseen("poweroff", boot_and_hold, act, ("stopped/shutdown",), guest=POWEROFF, then="stopped/shutdown"),
    Unseen("runs-on", boot),
    Unseen("stays-off", boot_and_destroy),
    Unseen("stays-crashed", boot_and_kill),
    Unseen("stays-panicked", boot_and_panic, guest=panics("preserve", 2)),
    Unseen("stays-paused", boot_and_pause),
    Unseen("stays-transient", make),
)
"""What takes no libvirt to happen, or does not happen at all: it forgets reasons when it starts anew."""

BY_LIBVIRT = (
    Unseen("destroyed", boot, destroy, ("stopped/destroyed",)),
    Unseen("destroyed-transient", make, destroy, ("stopped/unknown",), inventory=GONE),
    Unseen("saved", boot, save, ("stopped/saved",)),
    Unseen("another-run", boot, run_again, ("stopped/unknown", "started/booted")),
    Unseen("a-run-between", boot_and_destroy, run_and_save, ("started/unknown", "stopped/saved")),
    Unseen("started", define, start, ("started/booted",)),
    Unseen("start-failed", define, fail_to_start, ("stopped/failed",), "failed", UNSTARTABLE),
    Unseen("paused", boot, suspend, ("suspended/paused",)),
    Unseen("paused-and-resumed", boot, pause_and_resume),
    Unseen("made", nothing, make, ("started/booted",), inventory=("added/started",)),
    Unseen("made-and-destroyed", nothing, make_and_destroy),
    Unseen("made-persistent", make, make_persistent, ("defined/added",)),
    Unseen("defined", nothing, define, ("defined/added",), inventory=("added/defined",)),
    Unseen("undefined", define, undefine, ("undefined/removed",), inventory=("removed/undefined",)),
    Unseen("undefined-while-running", boot, undefine, ("undefined/removed",)),
    Unseen("renamed", define, rename, ("undefined/renamed",), renamed=("defined/renamed",)),
    Unseen(
        "replaced",
        define,
        replace,
        ("undefined/removed", "defined/added"),
        inventory=("removed/undefined", "added/defined"),
        in_order=False,
    ),
)

ALL = (*WITHOUT_LIBVIRT, *BY_LIBVIRT)


def let_go(stage: Stage) -> None:
    """From now on the guest does what it is made for."""
    if stage.guest.delay == HOLDABLE:
        stage.emulator(signal.SIGCONT)
