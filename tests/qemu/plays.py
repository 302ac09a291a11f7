"""What can be done to a domain. Each play ends when libvirt has said that it is done; none leaves a race:
the stage destroys and undefines what is still there afterwards."""

import fcntl
import signal
from collections.abc import Callable

import libvirt

from tests.qemu.scenario import Play
from tests.qemu.stage import Stage


def boot_and_wait(*pairs: str) -> Play:
    """The guest acts of its own accord; we see what becomes of it."""

    def play(stage: Stage) -> None:
        stage.boot()
        for pair in pairs:
            stage.sees(pair)

    return play


def boot_twice(stage: Stage) -> None:
    """The guest boots again by itself, and comes up again."""
    stage.boot()
    stage.hears("G", 2)


def pause_and_resume(stage: Stage) -> None:
    domain = stage.boot()
    domain.suspend()
    domain.resume()


def destroy(stage: Stage) -> None:
    stage.boot().destroy()


def destroy_gracefully(stage: Stage) -> None:
    stage.boot().destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)


def start_paused(stage: Stage) -> None:
    stage.define().createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    stage.domain.resume()


def honoured_shutdown(stage: Stage) -> None:
    domain = stage.boot()
    stage.hears("R")
    domain.shutdown()
    stage.sees("stopped/shutdown")


def ignored_shutdown(stage: Stage) -> None:
    domain = stage.boot()
    stage.hears("G")
    domain.shutdown()
    domain.destroy()


def reset(stage: Stage) -> None:
    domain = stage.boot()
    stage.hears("G")
    domain.reset()
    stage.hears("G", 2)


def emulator_gets(how: signal.Signals, then: str) -> Play:
    def play(stage: Stage) -> None:
        stage.boot()
        stage.emulator(how)
        stage.sees(then)

    return play


def panic_and_resume(stage: Stage) -> None:
    """What an administrator does with a preserved crash: look, then start over."""
    stage.boot()
    stage.sees("crashed/panicked")
    stage.domain.destroy()
    stage.domain.create()


def dump(flags: int = 0) -> Play:
    def play(stage: Stage) -> None:
        stage.boot().coreDump(str(stage.file("core")), flags)

    return play


def dump_cannot_resume(stage: Stage) -> None:
    """A dump gives the image's lock up for a moment. Who takes it then, the emulator cannot run against.

    Ours says "I share it with no writer", which QEMU asks about only when it wants to write again. Bytes:
    https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/block/file-posix.c (RAW_LOCK_SHARED_BASE)
    """
    domain = stage.boot()
    with stage.boot_image().open("rb") as image:
        fcntl.lockf(image, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 200 + 1)
        domain.coreDump(str(stage.file("core")))
        stage.sees("suspended/api_error")


def managed_save(stage: Stage) -> None:
    domain = stage.boot()
    domain.managedSave()
    domain.create()
    stage.sees("started/restored")


def save_and_restore(flags: int = 0) -> Play:
    def play(stage: Stage) -> None:
        saved = str(stage.file("saved"))
        stage.boot().save(saved)
        stage.connection.restoreFlags(saved, None, flags)

    return play


def s3_and_wakeup(stage: Stage) -> None:
    domain = stage.boot()
    stage.sees("pmsuspended/memory")
    domain.pMWakeup()
    stage.sees("started/wakeup")


def rename(stage: Stage) -> None:
    stage.others.append(f"{stage.name}-renamed")
    stage.define().rename(stage.others[0])


def redefine(*, running: bool) -> Play:
    def play(stage: Stage) -> None:
        domain = stage.boot() if running else stage.define()
        stage.define(uuid=domain.UUIDString(), title="another")

    return play


def undefine_while_running(stage: Stage) -> None:
    domain = stage.boot()
    domain.undefine()
    domain.destroy()


def transient(stage: Stage) -> None:
    stage.connection.createXML(stage.xml()).destroy()


def transient_made_persistent(stage: Stage) -> None:
    domain = stage.connection.createXML(stage.xml())
    stage.define(uuid=domain.UUIDString())


def change_metadata(stage: Stage) -> None:
    domain = stage.boot()
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "another", None, None)
    domain.setAutostart(0)


def fails(act: Callable[[], object]) -> None:
    try:
        act()
    except libvirt.libvirtError:
        return
    raise AssertionError("libvirt should have refused")


def failed_start(stage: Stage) -> None:
    domain = stage.define()
    fails(domain.create)


def failed_start_of_transient(stage: Stage) -> None:
    xml = stage.xml()
    fails(lambda: stage.connection.createXML(xml))


def failed_restore(stage: Stage) -> None:
    """The saved image is cut short: the emulator starts, and dies of it."""
    saved = stage.file("saved")
    stage.boot().save(str(saved))
    with saved.open("r+b") as image:
        image.truncate(saved.stat().st_size * 3 // 4)
    fails(lambda: stage.connection.restore(str(saved)))
