"""The sandbox of the unit file without systemd: the same restrictions with the tools of the kernel.

Covered: ProtectSystem=strict, ProtectHome, PrivateTmp, PrivateDevices, the user without capabilities,
NoNewPrivileges, RestrictAddressFamilies, MemoryDenyWriteExecute, RestrictNamespaces, LockPersonality,
SystemCallFilter, UMask and, as root and where the kernel permits it (not in a chroot), PrivateUsers. Not
covered: ProtectProc, ProtectClock, ProtectHostname, ProtectKernel*, ProtectControlGroups, RemoveIPC and
limits: they restrict what the exporter never uses.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.packaging.installation import INSTALL_PREFIX, Installation
from tests.packaging.unit_file import allowed_syscalls, directives

STATE = Path("/var/lib/libvirt-lifecycle-exporter")
UID = 65534
"""The user nobody: libvirt's daemon refuses clients whose user has no name on its host."""
_USER_NAMESPACE = subprocess.run(["unshare", "--user", "true"], stderr=subprocess.DEVNULL, check=False)
PRIVATE_USERS = os.getuid() == 0 and _USER_NAMESPACE.returncode == 0
"""Whether this machine permits user namespaces."""
PROCESS = Path(__file__).with_name("sandbox_process.py")

_SETUP_SCRIPT = """
set -e
mount --make-rprivate /
place=$1 state=$2 libvirt=$3 notify=$4 python=$5; shift 5
hide() { mount -t tmpfs -o mode=755 lab "$1"; }
show() { mkdir -p "$2"; mount --bind "$1" "$2"; }

hide /opt; show "$place" /opt/libvirt-lifecycle-exporter
hide /var/lib; show "$state" /var/lib/libvirt-lifecycle-exporter
hide /mnt; show "$libvirt" /mnt/libvirt; show "$notify" /mnt/notify; show "$python" /mnt/python
mkdir -p /mnt/dev
for device in null zero full random urandom; do
    touch /mnt/dev/$device; mount --bind /dev/$device /mnt/dev/$device
done
hide /run; show /mnt/libvirt /run/libvirt; show /mnt/notify /run/notify
hide /root; hide /home
case $python in /root/*|/home/*) show /mnt/python "$python" ;; esac
mount -t tmpfs -o mode=1777 lab /tmp
mount -t tmpfs -o mode=1777 lab /var/tmp
mount --rbind /mnt/dev /dev
umount -R /mnt
while read -r _ _ _ _ at _; do
    case $at in
    /proc|/proc/*|/sys|/sys/*|/tmp|/var/tmp|/var/lib/libvirt-lifecycle-exporter) ;;
    *) if mountpoint -q "$at"; then mount -o remount,bind,ro "$at"; fi ;;
    esac
done </proc/self/mountinfo
cd /
exec "$@"
"""


class Sandbox:
    """`libvirt` is mounted as /run/libvirt, `notify` as /run/notify, `state` as the state directory."""

    def __init__(self, installation: Installation, state: Path, libvirt: Path, notify: Path) -> None:
        self._folders = [installation.folder, state, libvirt, notify, Path(sys.base_prefix)]
        if os.getuid() == 0:
            os.chown(state, UID, UID)

    def argv(self, variables: Mapping[str, str], *command: str | Path, uid: int = UID) -> list[str]:
        """Return the command line that runs the command in the sandbox."""
        (umask,), (families,) = directives()["UMask"], directives()["RestrictAddressFamilies"]
        request = {
            "uid": uid if os.getuid() == 0 else 0,
            "private_users": PRIVATE_USERS,
            "umask": int(umask, 8),
            "families": [getattr(socket, family) for family in families.split()],
            "calls": sorted(allowed_syscalls()),
            "environment": {
                "PATH": "/usr/bin:/bin",
                "HOME": str(STATE),
                "STATE_DIRECTORY": str(STATE),
                **variables,
            },
        }
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        namespace = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
        setup = [*namespace, "sh", "-c", _SETUP_SCRIPT, "sh", *map(str, self._folders)]
        restrict = [str(python), "-I", "-c", PROCESS.read_text(), json.dumps(request)]
        return [*setup, *restrict, *map(str, command)]


PYTHON = INSTALL_PREFIX / "bin/python"
