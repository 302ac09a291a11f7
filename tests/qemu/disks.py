"""Disks that fail for real, without any privilege."""

import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from tests.lab.domain_xml import Disk
from tests.lab.waiting import until
from tests.qemu.scenario import Play
from tests.qemu.stage import Stage

SIZE = 64 << 20
SECTOR = 512
QCOW2_L1_OFFSET = 40
QCOW2_OFFSET_BITS = 0x00FF_FFFF_FFFF_FE00
UNALIGNED = 0x200

MakeDisk = Callable[[Stage, str], Disk]


def full(stage: Stage, policy: str) -> Disk:
    """A growing image in a space that does not: QEMU gets ENOSPC as from a full file system."""
    image = stage.guests.blank(SIZE, "qcow2")
    return Disk(image, "qcow2", error_policy=policy, slice_size=image.stat().st_size // SECTOR * SECTOR)


def corrupt(stage: Stage, policy: str) -> Disk:
    """An image whose tables point to nowhere: QEMU finds that out on the first write, which is EIO."""
    image = stage.guests.blank(SIZE, "qcow2", preallocation="metadata")
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


def writes_to(make: MakeDisk, policy: str, *pairs: str) -> Play:
    def play(stage: Stage) -> None:
        stage.boot(second_disk=make(stage, policy))
        for pair in pairs:
            stage.sees(pair)

    return play


def full_again_after_resume(stage: Stage) -> None:
    """Resumed though nobody made room: the same write fails the same way."""
    domain = stage.boot(second_disk=full(stage, "stop"))
    stage.sees("suspended/ioerror")
    domain.resume()
    stage.sees("suspended/ioerror", 2)


def server_of_the_disk_dies(stage: Stage) -> None:
    """A network disk: libvirt has no path to report, and so sends no IO_ERROR event, only the pause."""
    image = stage.guests.blank(SIZE)
    socket = stage.file("nbd")
    server = stage.daemon.processes.spawn(
        ["qemu-nbd", "--persistent", "--format=raw", f"--socket={socket}", str(image)],
        env=stage.daemon.environment(),
        log=stage.daemon.output,
        cwd=stage.daemon.root,
    )
    until(socket.exists, 10, "qemu-nbd")
    socket.chmod(0o777)
    stage.boot(second_disk=Disk(socket, protocol="nbd", error_policy="stop"))
    os.kill(server, signal.SIGKILL)
    stage.sees("suspended/ioerror")
