"""Guests of one boot sector: what each does is its mode; boot.asm beside this file has the list."""

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.domain_xml import Disk, Hardware, domain_xml
from tests.lab.programs import HOST, Programs
from tests.lab.session import NOBODY

SOURCE = Path(__file__).with_name("boot.asm")
DISK_SIZE = 1 << 20


@dataclass(frozen=True)
class Guest:
    """What boots, and in which machine. `delay` in timer ticks of 55 ms between booting and acting."""

    mode: str = "idle"
    delay: int = 2
    format: str = "raw"
    hardware: Hardware = field(default_factory=Hardware)


IDLE = Guest()


class Guests:
    """A folder of disk images that any daemon's emulator may open: assembled once, copied for each domain."""

    def __init__(self, folder: Path, programs: Programs = HOST) -> None:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        self.folder = folder
        self.programs = programs
        self._number = itertools.count()
        self._serial: dict[str, Path] = {}

    def boot_sector(self, mode: str, delay: int) -> Path:
        image = self.folder / f"{mode}-{delay}.boot"
        if not image.exists():
            defines = ["-D", f"MODE={mode.upper()}", "-D", f"DELAY={delay}"]
            # Whoever wants the same at the same time finds all of it, or nothing.
            made = image.with_suffix(f".{next(self._number)}")
            subprocess.run(["nasm", "-f", "bin", *defines, SOURCE, "-o", made], check=True)
            made.replace(image)
        return image

    def disk(self, guest: Guest) -> Path:
        raw = self.folder / f"{next(self._number)}-{guest.mode}.raw"
        shutil.copy(self.boot_sector(guest.mode, guest.delay), raw)
        os.truncate(raw, DISK_SIZE)
        return self.opened(raw if guest.format == "raw" else self._converted(raw, guest.format))

    def blank(self, size: int, image_format: str = "raw", **options: str) -> Path:
        """`options` are those of the format, as `qemu-img create -o` has them."""
        path = self.folder / f"{next(self._number)}-blank.{image_format}"
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        subprocess.run(["qemu-img", "create", "-q", "-f", image_format, *given, path, str(size)], check=True)
        return self.opened(path)

    def xml(self, name: str, guest: Guest = IDLE) -> str:
        """A domain of this name with a boot disk of its own."""
        boot = Disk(self.disk(guest), guest.format)
        self._serial[name] = serial = self.folder / f"{next(self._number)}.serial"
        return domain_xml(name, boot, guest.hardware, serial=serial, emulator=self.programs.emulator)

    def said(self, name: str) -> str:
        """What the guest wrote to its serial port: B for each boot, G when it begins to act."""
        try:
            return self._serial[name].read_text()
        except FileNotFoundError:
            return ""

    def opened(self, path: Path) -> Path:
        """Given to the user that the session daemon's emulators run as."""
        path.chmod(0o666)
        if os.getuid() == 0:
            shutil.chown(path, NOBODY, NOBODY)
        return path

    def _converted(self, raw: Path, image_format: str) -> Path:
        path = raw.with_suffix(f".{image_format}")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", image_format, raw, path], check=True)
        raw.unlink()
        return path
