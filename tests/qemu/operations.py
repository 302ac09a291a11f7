"""Operations on a domain. Each returns after libvirt has reported its result; the driver removes the
domain.
"""

import fcntl
import signal
from collections.abc import Callable

import libvirt

from tests.qemu.domain_driver import DomainDriver
from tests.qemu.scenario import Operation


def boot_and_wait(*pairs: str) -> Operation:
    """Boot a guest that acts by itself, and wait for the resulting events."""

    def operation(driver: DomainDriver) -> None:
        driver.boot()
        for pair in pairs:
            driver.wait_event(pair)

    return operation


def boot_twice(driver: DomainDriver) -> None:
    """The guest reboots by itself."""
    driver.boot()
    driver.wait_serial("G", 2)


def pause_and_resume(driver: DomainDriver) -> None:
    domain = driver.boot()
    domain.suspend()
    domain.resume()


def destroy(driver: DomainDriver) -> None:
    driver.boot().destroy()


def destroy_gracefully(driver: DomainDriver) -> None:
    driver.boot().destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)


def start_paused(driver: DomainDriver) -> None:
    driver.define().createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    driver.domain.resume()


def honoured_shutdown(driver: DomainDriver) -> None:
    domain = driver.boot()
    driver.wait_serial("R")
    domain.shutdown()
    driver.wait_event("stopped/shutdown")


def ignored_shutdown(driver: DomainDriver) -> None:
    domain = driver.boot()
    driver.wait_serial("G")
    domain.shutdown()
    domain.destroy()


def reset(driver: DomainDriver) -> None:
    domain = driver.boot()
    driver.wait_serial("G")
    domain.reset()
    driver.wait_serial("G", 2)


def signal_emulator_and_wait(how: signal.Signals, then: str) -> Operation:
    def operation(driver: DomainDriver) -> None:
        driver.boot()
        driver.signal_emulator(how)
        driver.wait_event(then)

    return operation


def panic_and_resume(driver: DomainDriver) -> None:
    """Start again after a preserved crash, as an administrator does."""
    driver.boot()
    driver.wait_event("crashed/panicked")
    driver.domain.destroy()
    driver.domain.create()


def dump(flags: int = 0) -> Operation:
    def operation(driver: DomainDriver) -> None:
        driver.boot().coreDump(str(driver.file("core")), flags)

    return operation


def dump_cannot_resume(driver: DomainDriver) -> None:
    """During a dump the lock of the image is released; with the lock of another process QEMU cannot resume.

    This lock means "no shared writer", which QEMU checks only before it writes again. Byte offsets:
    https://gitlab.com/qemu-project/qemu/-/blob/v7.2.0/block/file-posix.c (RAW_LOCK_SHARED_BASE)
    """
    domain = driver.boot()
    with driver.boot_image().open("rb") as image:
        fcntl.lockf(image, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 200 + 1)
        domain.coreDump(str(driver.file("core")))
        driver.wait_event("suspended/api_error")


def managed_save(driver: DomainDriver) -> None:
    domain = driver.boot()
    domain.managedSave()
    domain.create()
    driver.wait_event("started/restored")


def save_and_restore(flags: int = 0) -> Operation:
    def operation(driver: DomainDriver) -> None:
        saved = str(driver.file("saved"))
        driver.boot().save(saved)
        driver.connection.restoreFlags(saved, None, flags)

    return operation


def s3_and_wakeup(driver: DomainDriver) -> None:
    domain = driver.boot()
    driver.wait_event("pmsuspended/memory")
    domain.pMWakeup()
    driver.wait_event("started/wakeup")


def rename(driver: DomainDriver) -> None:
    driver.other_names.append(f"{driver.name}-renamed")
    driver.define().rename(driver.other_names[0])


def redefine(*, running: bool) -> Operation:
    def operation(driver: DomainDriver) -> None:
        domain = driver.boot() if running else driver.define()
        driver.define(uuid=domain.UUIDString(), title="another")

    return operation


def undefine_while_running(driver: DomainDriver) -> None:
    domain = driver.boot()
    domain.undefine()
    domain.destroy()


def transient(driver: DomainDriver) -> None:
    driver.connection.createXML(driver.xml()).destroy()


def transient_made_persistent(driver: DomainDriver) -> None:
    domain = driver.connection.createXML(driver.xml())
    driver.define(uuid=domain.UUIDString())


def change_metadata(driver: DomainDriver) -> None:
    domain = driver.boot()
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "another", None, None)
    domain.setAutostart(0)


def expect_error(act: Callable[[], object]) -> None:
    try:
        act()
    except libvirt.libvirtError:
        return
    raise AssertionError("libvirt raised no error")


def failed_start(driver: DomainDriver) -> None:
    domain = driver.define()
    expect_error(domain.create)


def failed_start_of_transient(driver: DomainDriver) -> None:
    xml = driver.xml()
    expect_error(lambda: driver.connection.createXML(xml))


def failed_restore(driver: DomainDriver) -> None:
    """The saved image is truncated: the emulator starts and fails."""
    saved = driver.file("saved")
    driver.boot().save(str(saved))
    with saved.open("r+b") as image:
        image.truncate(saved.stat().st_size * 3 // 4)
    expect_error(lambda: driver.connection.restore(str(saved)))
