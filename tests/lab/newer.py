"""The second libvirt: Debian 13's libvirt and QEMU out of a folder, next to the machine's own.

Each daemon enters the folder in a mount namespace of its own, so that nothing stays mounted when it ends.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.lab.programs import Programs

SCRIPT = Path(__file__).with_name("newer-libvirt.sh")
CANNOT_BE_HAD = 3

# A new root, not merely chroot(2): inside of one the kernel refuses user namespaces, which is how this
# module goes without root; and private.py makes / private, which only a mount point can be.
# What is bound keeps its path, so that sockets and images have one name for both sides; users and hosts, too,
# have the names that they have outside: libvirt does not start for a user without one.
ENTER = """
set -e
chroot=$1; shift
mount --rbind "$chroot" "$chroot"
for shared in /proc /sys /dev /etc/passwd /etc/group /etc/hosts; do
  mount --rbind $shared "$chroot$shared"
done
while [ "$1" != -- ]; do
  mkdir -p "$chroot$1"; mount --rbind "$1" "$chroot$1"; shift
done
shift
cd "$chroot"; mkdir -p mnt
pivot_root . mnt
umount --lazy /mnt
exec "$@"
"""


class NewerLibvirtUnavailableError(RuntimeError):
    """It cannot be had on this machine; the text is one sentence that says why."""


@dataclass(frozen=True)
class ChrootCommand:
    """How a program is run inside of `chroot`, with `binds`, folders of this machine, visible in there."""

    chroot: Path
    binds: tuple[Path, ...]

    @property
    def prefix(self) -> tuple[str, ...]:
        binds = [str(path.resolve()) for path in self.binds]
        enter = ("sh", "-c", ENTER, "sh", str(self.chroot), *binds, "--")
        if os.getuid() == 0:
            return ("unshare", "--mount", *enter)
        # Root of a user namespace may do all this as well. Inside, the user is who they were before:
        # libvirt would take root for the privileged kind.
        back = ("unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")
        return ("unshare", "--map-root-user", "--mount", *enter, *back)

    def argv(self, program: Sequence[str]) -> list[str]:
        return [*self.prefix, *program]


@cache
def newer_libvirt() -> Path:
    """The folder, built now when it is not there yet (seconds, and a network, the first time)."""
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode == CANNOT_BE_HAD:
        raise NewerLibvirtUnavailableError(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} failed with code {done.returncode}:\n{done.stderr}")
    return Path(done.stdout.strip())


def newer_libvirt_or_skip() -> Path:
    """Skips the test where it cannot be had; with LAB_COMPLETE set (as in CI) nothing may be missing."""
    try:
        return newer_libvirt()
    except NewerLibvirtUnavailableError as missing:
        if os.environ.get("LAB_COMPLETE"):
            raise
        pytest.skip(str(missing))


def newer_programs(*binds: Path) -> Programs:
    """What a lab daemon takes to be the newer libvirt. The folder for temporary files is visible to it;
    images that lie elsewhere are named here."""
    visible = (Path(tempfile.gettempdir()), *binds)
    return Programs(prefix=ChrootCommand(newer_libvirt(), visible).prefix)


def newer_api_description() -> Path:
    """libvirt-api.xml of the newer libvirt: every enum and value that it knows, with its documentation."""
    return newer_libvirt() / "usr/share/libvirt/api/libvirt-api.xml"
