"""A libvirt daemon of the test's own: started, stopped, killed, frozen, and torn down whatever happened.

What both kinds share is here; session.py and private.py say how each is set up. The folder must have a
short path (`short_root`): libvirt's and QEMU's sockets live below it, and a socket's path has 107 bytes.
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

from tests.lab.programs import HOST, Programs
from tests.lab.reaper import Reaper
from tests.lab.waiting import until

STARTS_WITHIN = 30.0
ENDS_WITHIN = 30.0


@contextmanager
def short_root() -> Iterator[Path]:
    """A folder that every user may enter: pytest's tmp_path is long, and closed to the unprivileged user
    that the session daemon becomes when the tests run as root."""
    root = Path(tempfile.mkdtemp(prefix="lle-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def search_path() -> str:
    """Daemons live in sbin, where an ordinary user's PATH does not look."""
    return os.environ["PATH"] + ":/usr/sbin:/sbin"


def host_uuid() -> str:
    """A configuration line: two daemons on one machine would else be one host, which refuses migration."""
    return f'host_uuid = "{uuid.uuid4()}"\n'


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


class Daemon(ABC):
    """One daemon under one sub-reaper; the reaper outlives restarts, so that guests stay in the house."""

    needs = ""
    """What it cannot do without, for the message when it did not start."""

    def __init__(self, root: Path, programs: Programs = HOST) -> None:
        self.root = root
        self.programs = programs
        self.pid = 0
        self.log = root / "daemon.log"
        self.output = root / "output.log"
        self.reaper = Reaper()

    @property
    @abstractmethod
    def socket(self) -> Path: ...

    @property
    @abstractmethod
    def uri(self) -> str: ...

    @property
    @abstractmethod
    def pid_files(self) -> Path:
        """The folder where libvirt notes the pid of each emulator."""

    @property
    def test_uri(self) -> str:
        """The test driver inside this daemon: real RPC, no QEMU. Only libvirtd has it, virtqemud has not."""
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
        """Returns when the daemon answers."""
        self.socket.unlink(missing_ok=True)  # the one a killed daemon leaves behind
        argv = [*self.programs.prefix, *self.argv()]
        self.pid = self.reaper.spawn(argv, env=self.environment(), log=self.output, cwd=self.root)
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
        """The daemon and all its emulators end at once, and what they kept in /run is gone."""
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
        """The daemon, frozen or not, its guests, and whatever else came from it."""
        self.reaper.close()

    def connect(self) -> Any:
        """A connection for the test's own acts. The caller closes it."""
        return libvirt.open(self.uri)

    def emulator_pid(self, domain: str) -> int:
        return int((self.pid_files / f"{domain}.pid").read_text())

    def _emulators(self) -> list[int]:
        """Those without a pid file yet, too."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_text(errors="replace")
                if "qemu-system" in line.split("\0", 1)[0] and str(self.root) in line:
                    found.append(int(process.name))
        return found

    def _end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        self.reaper.wait(self.pid, ENDS_WITHIN)

    def _listens(self) -> bool:
        if self.reaper.exited(self.pid):
            raise RuntimeError(f"{self.programs.daemon} did not start{self.needs}:\n{self._last_words()}")
        return accepts(self.socket)

    def _last_words(self) -> str:
        logs = [log.read_text(errors="replace") for log in (self.output, self.log) if log.exists()]
        return "\n".join("".join(logs).splitlines()[-20:])
