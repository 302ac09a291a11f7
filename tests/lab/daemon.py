"""A libvirt daemon of a test: started, stopped, killed, frozen, and always removed at the end.

This module contains what both kinds share; session_daemon.py and system_daemon.py contain their setup. The
path of the folder must be short (`short_root`): the sockets of libvirt and QEMU are below it, and the path
of a socket is limited to 107 bytes.
"""

import os
import shutil
import signal
import socket
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import libvirt

from tests.lab.process_tree import ProcessTree
from tests.lab.programs import HOST, Programs
from tests.lab.waiting import until

STARTS_WITHIN = 30.0
ENDS_WITHIN = 30.0


@contextmanager
def short_root() -> Iterator[Path]:
    """Create a folder that every user may enter; it is removed at the end.

    The path of pytest's tmp_path is too long, and closed to the unprivileged user that the session daemon
    becomes if the tests run as root.
    """
    root = Path(tempfile.mkdtemp(prefix="lle-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def search_path() -> str:
    """Return PATH with the sbin directories, which contain the daemons but are not in the PATH of ordinary
    users.
    """
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def host_uuid() -> str:
    """Return a configuration line with a random host UUID. libvirt refuses migrations within one host."""
    return f'host_uuid = "{uuid.uuid4()}"\n'


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


class Daemon(ABC):
    """A daemon in a process tree of its own. The tree is kept across restarts, so that the guests stay in
    it.
    """

    needs = ""
    """Requirements, for the message if the daemon does not start."""

    def __init__(self, root: Path, programs: Programs = HOST) -> None:
        self.root = root
        self.programs = programs
        self.pid = 0
        self.log = root / "daemon.log"
        self.output = root / "output.log"
        self.processes = ProcessTree()

    @property
    @abstractmethod
    def socket(self) -> Path: ...

    @property
    @abstractmethod
    def uri(self) -> str: ...

    @property
    @abstractmethod
    def pid_files(self) -> Path:
        """The folder in which libvirt writes the pid of each emulator."""

    @property
    def test_uri(self) -> str:
        """URI of the test driver inside this daemon: real RPC, no QEMU. Only libvirtd has it, virtqemud
        does not.
        """
        return f"test+unix:///default?socket={self.socket}"

    @abstractmethod
    def argv(self) -> list[str]: ...

    @abstractmethod
    def environment(self) -> dict[str, str]: ...

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the daemon and wait until it accepts connections."""
        self.socket.unlink(missing_ok=True)  # left by a killed daemon
        argv = [*self.programs.prefix, *self.argv()]
        self.pid = self.processes.spawn(argv, env=self.environment(), log=self.output, cwd=self.root)
        self.wait_listening()
        self.connect().close()

    def wait_listening(self) -> None:
        until(self._listens, STARTS_WITHIN, f"{self.programs.daemon} to listen on {self.socket}")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def lose_power(self) -> None:
        """End the daemon and all its emulators at once, and remove their files in /run."""
        self.kill()
        for pid in self._emulators():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self._emulators(), ENDS_WITHIN, "all emulators to end")
        for entry in (self.root / "run").iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """End the daemon, frozen or not, its guests and all their descendants."""
        self.processes.close()

    def connect(self) -> Any:
        """Open a connection for the test. The caller closes it."""
        return libvirt.open(self.uri)

    def emulator_pid(self, domain: str) -> int:
        return int((self.pid_files / f"{domain}.pid").read_text())

    def _emulators(self) -> list[int]:
        """Return the pids of the emulators, those without a pid file included."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_text(errors="replace")
                if "qemu-system" in line.split("\0", 1)[0] and str(self.root) in line:
                    found.append(int(process.name))
        return found

    def _end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        self.processes.wait(self.pid, ENDS_WITHIN)

    def _listens(self) -> bool:
        if self.processes.exited(self.pid):
            raise RuntimeError(f"{self.programs.daemon} did not start{self.needs}:\n{self._last_log_lines()}")
        return accepts(self.socket)

    def _last_log_lines(self) -> str:
        logs = [log.read_text(errors="replace") for log in (self.output, self.log) if log.exists()]
        return "\n".join("".join(logs).splitlines()[-20:])
