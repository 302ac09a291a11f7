"""Processes of a test: start them, get their exit status, and end all of them and their descendants."""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Self

from tests.lab.piped_process import end_piped_process

SCRIPT = Path(__file__).with_name("process_tree_process.py")
ANSWER_TIMEOUT = 10.0
"""Seconds for one answer, and for the end of the process."""


class ProcessTree:
    """Processes and their descendants. If it is closed, or this process ends, all of them are killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._answers: Queue[dict[str, Any]] = Queue()
        self._exits: dict[int, int] = {}
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="process-tree", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path) -> int:
        request = {"argv": list(argv), "env": dict(env), "log": str(log), "cwd": str(cwd)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answers.get(timeout=ANSWER_TIMEOUT)
        if "refused" in answer:
            raise OSError(answer["refused"])
        return int(answer["started"])

    def exited(self, pid: int) -> bool:
        with self._changed:
            return pid in self._exits

    def wait(self, pid: int, timeout: float) -> int:
        """Return the exit status as subprocess has it. Works for orphans as well, which emulators are."""
        with self._changed:
            if not self._changed.wait_for(lambda: pid in self._exits, timeout):
                raise TimeoutError(f"process {pid} has not ended after {timeout:g} s")
            return self._exits[pid]

    def close(self) -> None:
        end_piped_process(self._process, self._reader, ANSWER_TIMEOUT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "exited" in message:
                with self._changed:
                    self._exits[message["exited"]] = message["status"]
                    self._changed.notify_all()
            else:
                self._answers.put(message)
