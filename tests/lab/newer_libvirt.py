"""A second, newer libvirt: libvirt and QEMU of Debian 13 in a folder, beside the installed ones.

Each daemon runs in its own mount namespace with this folder as root, so that no mount remains afterwards.
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
UNAVAILABLE = 3

# pivot_root, not chroot(2): in a chroot the kernel refuses user namespaces, which this module uses without
# root; and system_daemon.py makes / private, which must be a mount point for that.
# Bound folders keep their paths, so that sockets and images have one name inside and outside. Users and hosts
# are those of this machine: libvirt does not start for a user without a name.
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
    """The newer libvirt is not available on this machine; the text is one sentence that contains the
    reason.
    """


@dataclass(frozen=True)
class ChrootCommand:
    """Command that runs a program inside `chroot`. `binds`: folders of this machine that are visible
    inside.
    """

    chroot: Path
    binds: tuple[Path, ...]

    @property
    def prefix(self) -> tuple[str, ...]:
        binds = [str(path.resolve()) for path in self.binds]
        enter = ("sh", "-c", ENTER, "sh", str(self.chroot), *binds, "--")
        if os.getuid() == 0:
            return ("unshare", "--mount", *enter)
        # Root of a user namespace may do this as well. Inside, the user id is the original one: as root
        # libvirt would be privileged.
        back = ("unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")
        return ("unshare", "--map-root-user", "--mount", *enter, *back)

    def argv(self, program: Sequence[str]) -> list[str]:
        return [*self.prefix, *program]


@cache
def newer_libvirt() -> Path:
    """Return the folder, and build it if it does not exist (seconds, and the network)."""
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode == UNAVAILABLE:
        raise NewerLibvirtUnavailableError(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} failed with code {done.returncode}:\n{done.stderr}")
    return Path(done.stdout.strip())


def newer_libvirt_or_skip() -> Path:
    """Skip the test if the newer libvirt is unavailable, unless LAB_COMPLETE is set (in CI)."""
    try:
        return newer_libvirt()
    except NewerLibvirtUnavailableError as missing:
        if os.environ.get("LAB_COMPLETE"):
            raise
        pytest.skip(str(missing))


def newer_programs(*binds: Path) -> Programs:
    """Return the programs of the newer libvirt for a lab daemon.

    The folder for temporary files is visible to it; `binds` are further folders, e.g. those of images.
    """
    visible = (Path(tempfile.gettempdir()), *binds)
    return Programs(prefix=ChrootCommand(newer_libvirt(), visible).prefix)


def newer_api_description() -> Path:
    """Return the path of libvirt-api.xml of the newer libvirt, which documents every enum value."""
    return newer_libvirt() / "usr/share/libvirt/api/libvirt-api.xml"
