"""A program that a test starts and that reports over HTTP when it is ready."""

import os
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process_tree import ProcessTree
from tests.lab.waiting import until

READY_WITHIN = 60.0
STOPS_WITHIN = 20.0


class Service:
    """A service process; a context manager that ends it and all its descendants. `stop` and `start` may
    repeat.
    """

    def __init__(self, folder: Path, argv: Sequence[str], ready: str, log: Path) -> None:
        """`ready`: URL that answers with 200 when the service is ready."""
        self.folder = folder
        self.log = log
        self.pid = 0
        self._argv = argv
        self._ready = ready
        self._processes = ProcessTree()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.close()

    def start(self) -> None:
        self.pid = self._processes.spawn(self._argv, env=os.environ, log=self.log, cwd=self.folder)
        until(self._is_ready, READY_WITHIN, f"{self._argv[0]} to be ready; its log is {self.log}")

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._processes.wait(self.pid, STOPS_WITHIN)

    def _is_ready(self) -> bool:
        if self._processes.exited(self.pid):
            raise RuntimeError(f"{self._argv[0]} has ended:\n{self.log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(self._ready, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
