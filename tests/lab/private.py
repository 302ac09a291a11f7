"""The privileged libvirt, private: its own mount and host name, so that several live on one machine.

Its folders are compiled in, so ours are mounted over them. It takes real root: in a user namespace of one's
own the daemon starts, but may not give its emulators their groups. For ordinary users SessionDaemon migrates
as well.
"""

import os
from pathlib import Path

from tests.lab.daemon import Daemon, host_uuid, search_path
from tests.lab.programs import HOST, Programs

# What lies below is covered whole: whether or not the machine has such folders, and without touching any.
# The QEMU driver refuses to start where Debian's user for it is missing, though qemu.conf names another.
# libvirt's LXC driver refuses a host that mounts both versions of cgroups: the second is unmounted.
HOUSE = """
set -e
hostname "$1"; root=$2; shift 2
mount --make-rprivate /
if [ -f /sys/fs/cgroup/unified/cgroup.procs ]; then umount /sys/fs/cgroup/unified; fi
for covered in /run /var/lib /var/cache /var/log; do mount -t tmpfs lab $covered; done
mkdir -p /run/libvirt /run/lock /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
mount --bind "$root/etc" /etc/libvirt
mount --bind "$root/run" /run/libvirt
mount --bind "$root/lib" /var/lib/libvirt
mount --bind "$root/cache" /var/cache/libvirt
mount --bind "$root/log" /var/log/libvirt
for file in passwd group; do
  cat /etc/$file - > "$root/$file" <<END
libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin
END
  mount --bind "$root/$file" /etc/$file
done
exec "$@"
"""

QEMU_CONF = """
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""

DAEMON_CONF = """
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
"""


class PrivateDaemon(Daemon):
    def __init__(self, root: Path, programs: Programs = HOST, *, hostname: str) -> None:
        if os.getuid() != 0:
            raise PermissionError("the privileged libvirt needs root; SessionDaemon(hostname=...) does not")
        super().__init__(root, programs)
        self.hostname = hostname
        self._furnish()

    @property
    def socket(self) -> Path:
        return self.root / "run" / self.programs.socket

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def lxc_uri(self) -> str:
        """The LXC driver inside this daemon. Only libvirtd has it, virtqemud has not."""
        return f"lxc+unix:///system?socket={self.socket}"

    @property
    def pid_files(self) -> Path:
        return self.root / "run/qemu"

    def argv(self) -> list[str]:
        return [
            *("unshare", "--mount", "--uts"),
            *("sh", "-c", HOUSE, "sh", self.hostname, str(self.root)),
            *(self.programs.daemon, "-f", str(self._conf), "-p", str(self.root / "daemon.pid")),
        ]

    def environment(self) -> dict[str, str]:
        return {"PATH": search_path(), "HOME": str(self.root)}

    @property
    def _conf(self) -> Path:
        return self.root / "etc" / f"{self.programs.daemon}.conf"

    def _furnish(self) -> None:
        for name in ("etc", "run", "lib", "cache", "log"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/qemu.conf").write_text(QEMU_CONF)
        self._conf.write_text(f'{DAEMON_CONF}log_outputs = "3:file:{self.log}"\n{host_uuid()}')
