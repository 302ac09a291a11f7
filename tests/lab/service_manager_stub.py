"""Stub of a service manager for sd_notify(3): a datagram socket with a path or an abstract name."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class ServiceManagerStub:
    """`variables` are the environment variables of the service. A context manager that closes the socket."""

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

    def receive(self, timeout: float = 30.0) -> dict[str, str]:
        """Return the next datagram. Raises TimeoutError after `timeout` seconds."""
        self._socket.settimeout(timeout)
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait_for(self, name: str, timeout: float = 30.0) -> str:
        """Return the value of the next variable of this name."""
        while name not in (variables := self.receive(timeout)):
            pass
        return variables[name]

    def discard(self) -> None:
        """Drop all datagrams that have arrived."""
        try:
            while True:
                self.receive(0.001)
        except (TimeoutError, BlockingIOError):
            return
