"""A journal on a network file system: the lock works on NFS, and errors name the file system."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.database_file import Lock, LockedError
from libvirt_lifecycle_exporter.journal.filesystem import hint, network_file_system

MOUNTINFO = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /srv rw,relatime shared:3 - nfs4 server:/srv rw
41 27 0:51 / /srv/my\\040local rw - xfs /dev/vdb rw
42 27 0:52 / /mnt/smb rw - cifs //server/share rw
43 27 0:53 / /mnt/ceph rw - ceph mon:/ rw
44 27 0:54 / /mnt/gluster rw - fuse.glusterfs server:/volume rw
45 27 0:55 / /mnt/gluster rw - ext4 /dev/vdc rw
"""


def flock_on_nfs(descriptor: int, operation: int) -> None:
    """Lock as NFS does: an exclusive lock requires a descriptor that is open for writing."""
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    fcntl.flock(descriptor, operation)


def test_lock_is_opened_for_writing_where_nfs_needs_it(path: Path) -> None:
    lock = Lock(path, flock=flock_on_nfs)
    with pytest.raises(LockedError):
        Lock(path)
    with pytest.raises(LockedError):
        Lock(path, flock=flock_on_nfs)
    assert lock.is_current()
    lock.close()
    Lock(path).close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/state/journal.sqlite", "NFS"),
        ("/srv/my local/journal.sqlite", ""),
        ("/mnt/smb/journal.sqlite", "SMB"),
        ("/mnt/ceph/journal.sqlite", "CephFS"),
        ("/mnt/gluster/journal.sqlite", ""),
        ("/var/lib/journal.sqlite", ""),
        ("/srvs/journal.sqlite", ""),
    ],
)
def test_network_file_system_is_recognized(path: str, name: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)
    assert network_file_system(Path(path), mounts) == name


def test_error_hint_asks_for_a_local_disk(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO)
    assert hint(Path("/srv/journal.sqlite"), mounts) == (
        "; /srv is on NFS: set --journal.path to a local disk"
    )
    assert not hint(Path("/var/journal.sqlite"), mounts)
    assert not hint(Path("/srv/journal.sqlite"), tmp_path / "missing")
