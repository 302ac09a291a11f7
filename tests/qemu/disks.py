"""Disks with real failures, without any privilege."""

import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from tests.lab.domain_xml import Disk
from tests.lab.waiting import until
from tests.qemu.domain_driver import DomainDriver
from tests.qemu.scenario import Operation

SIZE = 64 << 20
SECTOR = 512
QCOW2_L1_OFFSET = 40
QCOW2_OFFSET_BITS = 0x00FF_FFFF_FFFF_FE00
UNALIGNED = 0x200

MakeDisk = Callable[[DomainDriver, str], Disk]


def full(driver: DomainDriver, policy: str) -> Disk:
    """A growing image in a limited part of its file: QEMU gets ENOSPC as from a full file system."""
    image = driver.guests.blank(SIZE, "qcow2")
    return Disk(image, "qcow2", error_policy=policy, slice_size=image.stat().st_size // SECTOR * SECTOR)


def corrupt(driver: DomainDriver, policy: str) -> Disk:
    """An image with invalid tables: QEMU reports EIO on the first write."""
    image = driver.guests.blank(SIZE, "qcow2", preallocation="metadata")
    _misalign(image)
    return Disk(image, "qcow2", error_policy=policy)


def _misalign(image: Path) -> None:
    """Format: https://www.qemu.org/docs/master/interop/qcow2.html"""
    with image.open("r+b") as file:
        file.seek(QCOW2_L1_OFFSET)
        (l1_table,) = struct.unpack(">Q", file.read(8))
        file.seek(l1_table)
        (l1_entry,) = struct.unpack(">Q", file.read(8))
        l2_table = l1_entry & QCOW2_OFFSET_BITS
        file.seek(l2_table)
        sound, *others = struct.unpack(">8192Q", file.read(65536))  # the BIOS reads the first sector
        file.seek(l2_table)
        file.write(struct.pack(">8192Q", sound, *(entry and entry | UNALIGNED for entry in others)))


def writes_to(make: MakeDisk, policy: str, *pairs: str) -> Operation:
    def operation(driver: DomainDriver) -> None:
        driver.boot(second_disk=make(driver, policy))
        for pair in pairs:
            driver.wait_event(pair)

    return operation


def full_again_after_resume(driver: DomainDriver) -> None:
    """Resume without more space: the same write fails again."""
    domain = driver.boot(second_disk=full(driver, "stop"))
    driver.wait_event("suspended/ioerror")
    domain.resume()
    driver.wait_event("suspended/ioerror", 2)


def server_of_the_disk_dies(driver: DomainDriver) -> None:
    """A network disk: libvirt has no path to report, and sends only the pause without an IO_ERROR event."""
    image = driver.guests.blank(SIZE)
    socket = driver.file("nbd")
    server = driver.daemon.processes.spawn(
        ["qemu-nbd", "--persistent", "--format=raw", f"--socket={socket}", str(image)],
        env=driver.daemon.environment(),
        log=driver.daemon.output,
        cwd=driver.daemon.root,
    )
    until(socket.exists, 10, "qemu-nbd")
    socket.chmod(0o777)
    driver.boot(second_disk=Disk(socket, protocol="nbd", error_policy="stop"))
    os.kill(server, signal.SIGKILL)
    driver.wait_event("suspended/ioerror")
