"""Privileged libvirt (qemu:///system) with its own mount and host name, so that several run on one machine.

The paths of its folders are compiled in, so folders of the test are mounted over them. This needs real root:
in a user namespace the daemon starts, but it may not set the groups of its emulators. SessionDaemon migrates
for ordinary users as well.
"""

import os
from pathlib import Path

from tests.lab.daemon import Daemon, host_uuid, search_path
from tests.lab.programs import HOST, Programs

# The parent folders are covered by tmpfs: the machine may lack libvirt's folders, and none is changed.
# The QEMU driver refuses to start without Debian's user for it, although qemu.conf names another one.
# The LXC driver refuses a host that mounts both versions of cgroups: the second one is unmounted.
SET_UP = """
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


class SystemDaemon(Daemon):
    def __init__(self, root: Path, programs: Programs = HOST, *, hostname: str) -> None:
        if os.getuid() != 0:
            raise PermissionError("the privileged libvirt needs root; SessionDaemon(hostname=...) does not")
        super().__init__(root, programs)
        self.hostname = hostname
        self._write_configuration()

    @property
    def socket(self) -> Path:
        return self.root / "run" / self.programs.socket

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def lxc_uri(self) -> str:
        """URI of the LXC driver inside this daemon. Only libvirtd has it, virtqemud does not."""
        return f"lxc+unix:///system?socket={self.socket}"

    @property
    def pid_files(self) -> Path:
        return self.root / "run/qemu"

    def argv(self) -> list[str]:
        return [
            *("unshare", "--mount", "--uts"),
            *("sh", "-c", SET_UP, "sh", self.hostname, str(self.root)),
            *(self.programs.daemon, "-f", str(self._conf), "-p", str(self.root / "daemon.pid")),
        ]

    def environment(self) -> dict[str, str]:
        return {"PATH": search_path(), "HOME": str(self.root)}

    @property
    def _conf(self) -> Path:
        return self.root / "etc" / f"{self.programs.daemon}.conf"

    def _write_configuration(self) -> None:
        for name in ("etc", "run", "lib", "cache", "log"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/qemu.conf").write_text(QEMU_CONF)
        self._conf.write_text(f'{DAEMON_CONF}log_outputs = "3:file:{self.log}"\n{host_uuid()}')
