"""A service manager as sd_notify(3) sees it: a datagram socket, by path or abstract."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class Supervisor:
    """`variables` are for the process. `with` closes the socket."""

    def __init__(self, folder: Path, *, abstract: bool = False, watchdog: float = 0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / "notify"
        if abstract:
            # Bound without a name, the kernel gives it one.
            self._socket.bind("")
            address = "@" + self._socket.getsockname().decode()[1:]
        else:
            self._socket.bind(str(path))
            path.chmod(0o777)
            address = str(path)
        self.variables = {"NOTIFY_SOCKET": address}
        if watchdog:
            self.variables["WATCHDOG_USEC"] = str(int(watchdog * 1e6))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def hear(self, timeout: float = 30.0) -> dict[str, str]:
        """The next datagram; TimeoutError if there is none for so long."""
        self._socket.settimeout(timeout)
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait_for(self, name: str, timeout: float = 30.0) -> str:
        """The value of the next variable of this name."""
        while name not in (told := self.hear(timeout)):
            pass
        return told[name]

    def forget(self) -> None:
        """Drop what has been told so far."""
        try:
            while True:
                self.hear(0.001)
        except (TimeoutError, BlockingIOError):
            return
