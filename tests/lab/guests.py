"""Guests of one boot sector. The mode of a guest is what it does; boot.asm in this folder lists the modes."""

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.domain_xml import Disk, Hardware, domain_xml
from tests.lab.programs import HOST, Programs
from tests.lab.session_daemon import NOBODY

SOURCE = Path(__file__).with_name("boot.asm")
DISK_SIZE = 1 << 20


@dataclass(frozen=True)
class Guest:
    """Boot sector and machine. `delay`: timer ticks of 55 ms between booting and acting."""

    mode: str = "idle"
    delay: int = 2
    format: str = "raw"
    hardware: Hardware = field(default_factory=Hardware)


IDLE = Guest()


class Guests:
    """A folder of disk images that the emulators of all daemons may open; the boot sector of a mode is
    built once.
    """

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
            # Atomic: another process that needs the same image finds a complete file or none.
            temporary = image.with_suffix(f".{next(self._number)}")
            subprocess.run(["nasm", "-f", "bin", *defines, SOURCE, "-o", temporary], check=True)
            temporary.replace(image)
        return image

    def disk(self, guest: Guest) -> Path:
        raw = self.folder / f"{next(self._number)}-{guest.mode}.raw"
        shutil.copy(self.boot_sector(guest.mode, guest.delay), raw)
        os.truncate(raw, DISK_SIZE)
        return self.make_accessible(raw if guest.format == "raw" else self._converted(raw, guest.format))

    def blank(self, size: int, image_format: str = "raw", **options: str) -> Path:
        """Create an empty image. `options`: those of the format, as in `qemu-img create -o`."""
        path = self.folder / f"{next(self._number)}-blank.{image_format}"
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        subprocess.run(["qemu-img", "create", "-q", "-f", image_format, *given, path, str(size)], check=True)
        return self.make_accessible(path)

    def xml(self, name: str, guest: Guest = IDLE) -> str:
        """Return the description of a domain of this name with its own boot disk."""
        boot = Disk(self.disk(guest), guest.format)
        self._serial[name] = serial = self.folder / f"{next(self._number)}.serial"
        return domain_xml(name, boot, guest.hardware, serial=serial, emulator=self.programs.emulator)

    def serial_output(self, name: str) -> str:
        """Return the output of the guest on its serial port: B for each boot, G when it begins to act."""
        try:
            return self._serial[name].read_text()
        except FileNotFoundError:
            return ""

    def make_accessible(self, path: Path) -> Path:
        """Give the file to the user that the emulators of the session daemon run as."""
        path.chmod(0o666)
        if os.getuid() == 0:
            shutil.chown(path, NOBODY, NOBODY)
        return path

    def _converted(self, raw: Path, image_format: str) -> Path:
        path = raw.with_suffix(f".{image_format}")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", image_format, raw, path], check=True)
        raw.unlink()
        return path
