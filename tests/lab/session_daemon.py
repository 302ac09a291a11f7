"""Unprivileged libvirt: qemu:///session, isolated by the XDG directories; no systemd and no root."""

import os
import shutil
from pathlib import Path

from tests.lab.daemon import Daemon, host_uuid, search_path
from tests.lab.programs import HOST, Programs

NOBODY = 65534


class SessionDaemon(Daemon):
    """Runs as the user of the tests; as uid 65534 if that is root, with which libvirt would be privileged.

    With `hostname` two of these daemons migrate to each other; that needs root or user namespaces.
    """

    def __init__(self, root: Path, programs: Programs = HOST, *, hostname: str | None = None) -> None:
        super().__init__(root, programs)
        self.hostname = hostname
        if hostname is not None and os.getuid() != 0:
            self.needs = " (a host name of its own takes root, or a kernel that gives users namespaces)"
        self.uid = os.getuid() or NOBODY
        self._write_configuration()

    @property
    def socket(self) -> Path:
        return self.root / "run/libvirt" / self.programs.socket

    @property
    def uri(self) -> str:
        return f"qemu+unix:///session?socket={self.socket}"

    @property
    def pid_files(self) -> Path:
        return self.root / "run/libvirt/qemu/run"

    def argv(self) -> list[str]:
        identity = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        daemon = [self.programs.daemon, "-p", str(self.root / "daemon.pid")]
        as_root = os.getuid() == 0
        if self.hostname is None:
            return [*identity, *daemon] if as_root else daemon
        apart = ["unshare", "--uts"] if as_root else ["unshare", "--map-current-user", "--keep-caps", "--uts"]
        named = ["sh", "-c", f'hostname {self.hostname} && exec "$@"', "sh"]
        return [*apart, *named, *(identity if as_root else ["setpriv", "--ambient-caps=-all"]), *daemon]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": search_path(),
            "HOME": str(self.root),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "XDG_DATA_HOME": str(self.root / "data"),
        }

    def _write_configuration(self) -> None:
        config = self.root / "config/libvirt"
        for folder in (config, self.root / "run", self.root / "cache", self.root / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        (config / "qemu.conf").write_text('stdio_handler = "file"\nsecurity_driver = "none"\n')
        (config / f"{self.programs.daemon}.conf").write_text(
            f'log_outputs = "3:file:{self.log}"\n' + host_uuid()
        )
        if os.getuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                shutil.chown(path, self.uid, self.uid)
