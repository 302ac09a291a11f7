"""A small disk for one test: a tmpfs in a mount namespace that a helper process keeps alive.

The disk disappears when the helper ends, and the helper ends with the test. Commands that use the disk must
run in its namespace (`command_prefix`). Requires root, or a kernel that permits user namespaces.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
MOUNT_SCRIPT = 'mount --make-rprivate / && mount -t tmpfs -o "size=$2" lab "$1" && echo mounted && exec cat'


class Disk:
    def __init__(self, folder: Path, size: str = "512k") -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir()
        user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        self._holder = subprocess.Popen(
            ["unshare", *user, "--mount", "sh", "-c", MOUNT_SCRIPT, "sh", folder, size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"mounted\n":
            error = self._holder.stderr.read().decode()
            raise PermissionError(f"cannot mount a tmpfs: {error} (requires root or user namespaces)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.communicate()

    @property
    def command_prefix(self) -> list[str]:
        """Command prefix that runs a command in the namespace of the disk."""
        user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
        inside = ["nsenter", "--target", str(self._holder.pid), *user, "--mount", "--root", "--"]
        # `env -C` instead of a shell: in a chroot, a shell reports an error about its previous directory.
        return [*inside, "env", "-C", str(ROOT)]

    def run(self, *command: str | Path, check: bool = True) -> str:
        return subprocess.run(
            [*self.command_prefix, *command], check=check, capture_output=True, text=True
        ).stdout

    def fill(self) -> None:
        """Write a file until no space is left."""
        self.run("sh", "-c", f"cat /dev/zero > {self._filler} 2> /dev/null", check=False)

    def free_space(self) -> None:
        self.run("rm", self._filler)

    def make_read_only(self) -> bool:
        """Remount the disk read-only; return False if a file is still open for writing."""
        self.run("mount", "-o", "remount,ro", self.folder, check=False)
        return "ro" in self.options()

    def make_writable(self) -> None:
        self.run("mount", "-o", "remount,rw", self.folder)

    def options(self) -> list[str]:
        mounts = (line.split() for line in self.run("cat", "/proc/self/mounts").splitlines())
        return next(words[3].split(",") for words in mounts if words[1] == str(self.folder))

    def python(self, *arguments: str | Path) -> list[str]:
        return [*self.command_prefix, sys.executable, *map(str, arguments)]
