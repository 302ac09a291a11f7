"""Boot id of a simulated host: what a process reads from /proc/sys/kernel/random/boot_id."""

import os
from pathlib import Path
from uuid import uuid4

BOOT_ID = "/proc/sys/kernel/random/boot_id"
MOUNT = f'mount --make-rprivate / && mount --bind "$1" {BOOT_ID} && shift && exec "$@"'


class HostBoot:
    """A process that is started with the prefix `enter` reads this boot id. Needs root or user namespaces."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "boot_id"
        self.boot()

    def boot(self) -> None:
        """Change the boot id, as a reboot does."""
        self._file.write_text(f"{uuid4()}\n")

    @property
    def enter(self) -> list[str]:
        user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        return ["unshare", *user, "--mount", "sh", "-c", MOUNT, "sh", str(self._file)]
