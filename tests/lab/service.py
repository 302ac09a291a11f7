"""A program that a test starts, and that says over HTTP when it is ready."""

import os
import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.reaper import Reaper
from tests.lab.waiting import until

READY_WITHIN = 60.0
STOPS_WITHIN = 20.0


class Service:
    """Started by `with`, and ended with all that it left behind, come what may; in between `stop` and
    `start` as often as one likes."""

    def __init__(self, folder: Path, argv: Sequence[str], ready: str, log: Path) -> None:
        """`ready`: a URL that answers 200."""
        self.folder = folder
        self.log = log
        self.pid = 0
        self._argv = argv
        self._ready = ready
        self._reaper = Reaper()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._reaper.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reaper.close()

    def start(self) -> None:
        self.pid = self._reaper.spawn(self._argv, env=os.environ, log=self.log, cwd=self.folder)
        until(self._is_ready, READY_WITHIN, f"{self._argv[0]} to be ready; its log is {self.log}")

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._reaper.wait(self.pid, STOPS_WITHIN)

    def _is_ready(self) -> bool:
        if self._reaper.exited(self.pid):
            raise RuntimeError(f"{self._argv[0]} has ended:\n{self.log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(self._ready, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
