"""Detection of network file systems: SQLite's write-ahead log needs shared memory and locks of one host.

https://www.sqlite.org/wal.html#overview
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

NETWORK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nfs": "NFS",
        "nfs4": "NFS",
        "cifs": "SMB",
        "smb3": "SMB",
        "smbfs": "SMB",
        "ceph": "CephFS",
        "fuse.ceph": "CephFS",
        "fuse.ceph-fuse": "CephFS",
        "fuse.glusterfs": "GlusterFS",
        "fuse.sshfs": "SSHFS",
        "9p": "9P",
        "lustre": "Lustre",
        "gpfs": "GPFS",
        "beegfs": "BeeGFS",
        "afs": "AFS",
        "ocfs2": "OCFS2",
        "gfs2": "GFS2",
    }
)
"""Type in /proc/self/mountinfo -> name."""

_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return the name of the network file system that a path is on; "" if it is a local one or unknown."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best = ("", "")
    for line in lines:
        # https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[:1]
        if len(fields) < 5 or not kind:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
        # If several file systems are mounted on the same directory, the last one is visible.
        if path.is_relative_to(point) and len(point) >= len(best[0]):
            best = point, kind[0]
    return NETWORK.get(best[1], "")


def hint(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return advice to append to an error about this path; "" on a local file system."""
    name = network_file_system(path, mounts)
    return f"; {path.parent} is on {name}: set --journal.path to a local disk" if name else ""
