"""The exporter as a separate process that tests access only through its flags and its HTTP endpoints."""

import itertools
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.journal_reader import JournalReader
from tests.lab.page import Page
from tests.lab.process_tree import ProcessTree

READY_WITHIN = 30.0
STOPS_WITHIN = 5.0


_PORTS = itertools.cycle(random.SystemRandom().sample(range(12_000, 32_000), 20_000))
"""Below the ports that the kernel assigns to clients, so that no client takes one before it is used."""


def free_port() -> int:
    """Return a port without a listener. Within this process a port repeats only after all others."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


class Exporter(Page):
    """An exporter process. A context manager that starts it and waits until it is ready.

    `folder` is its working directory and contains its log. With ready=False it waits only until the exporter
    serves HTTP, for a libvirt that is not running yet.
    """

    def __init__(
        self,
        folder: Path,
        uris: Iterable[str],
        *,
        port: int = 0,
        extra_args: Sequence[str] = (),
        ready: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port or free_port())
        self.folder = folder
        self.log = folder / f"exporter-{self.port}.log"
        self.pid = 0
        flags = [word for uri in uris for word in ("--libvirt.uri", uri)]
        self.journal = JournalReader(folder / f"journal-{self.port}.sqlite")
        self._argv = [
            *(sys.executable, "-m", "libvirt_lifecycle_exporter", *flags),
            *("--journal.path", str(self.journal.path)),
            *("--web.listen-address", f"127.0.0.1:{self.port}", *extra_args),
        ]
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._processes = ProcessTree()

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_ready() if self._ready else self.wait_serving()
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            status = self.stop()
        finally:
            self._processes.close()
        if error is None and status != 0:
            raise RuntimeError(f"the exporter ended with {status}:\n{self.log_text()}")

    def start(self) -> None:
        self.pid = self._processes.spawn(self._argv, env=self._environment, log=self.log, cwd=self.folder)

    def stop(self) -> int:
        """Send SIGTERM as service managers do; return the exit status."""
        if not self._processes.exited(self.pid):
            os.kill(self.pid, signal.SIGTERM)
        return self._processes.wait(self.pid, STOPS_WITHIN)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._processes.wait(self.pid, STOPS_WITHIN)

    def again(self) -> None:
        self.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        self.wait_until(lambda: self.status("/-/ready") == 200, READY_WITHIN, "the exporter to be ready")

    def wait_serving(self) -> None:
        """Wait until it serves HTTP, ready or not: it serves the page although libvirt is down."""
        self.wait_until(lambda: self.status("/-/healthy") == 200, READY_WITHIN, "the exporter to serve")

    def wait_until(
        self, condition: Callable[[], object], timeout: float = READY_WITHIN, what: str = "the exporter"
    ) -> None:
        def condition_and_alive() -> object:
            if self._processes.exited(self.pid):
                raise RuntimeError(f"the exporter has ended:\n{self.log_text()}")
            return condition()

        try:
            super().wait_until(condition_and_alive, timeout, what)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; its log:\n{self.log_text()}") from None

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")
