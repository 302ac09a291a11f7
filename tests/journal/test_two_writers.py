"""Two processes on one file: the second buffers in memory and takes over when the first ends."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.batch_writer_process import start_batch_writer
from tests.journal.values import messages
from tests.journal.writer import Writer
from tests.lab.log_lines import count_lines

LOCK_HOLDER_SCRIPT = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print(flush=True)
input()
"""


def test_second_writer_takes_over_after_kill(
    path: Path, open_writer: Callable[[Path], Writer], caplog: pytest.LogCaptureFixture
) -> None:
    with start_batch_writer(path, 0) as first:
        assert first.stdout is not None
        first.stdout.readline()
        second = open_writer(path)
        for _ in range(3):
            second.append()
            second.recover()
        assert second.journal.errors >= 4
        assert count_lines(caplog, "another process") == 1
        assert not {"0", "1", "2"} & set(messages(path))
        first.kill()
        first.wait()
        second.recover()
    assert messages(path)[-3:] == ["0", "1", "2"]
    second.append()
    assert messages(path)[-1] == "3"
    assert count_lines(caplog, "journal recovered") == 1
    assert second.restores_everything()


def test_first_writer_is_not_disturbed(path: Path, open_writer: Callable[[Path], Writer]) -> None:
    first, second = open_writer(path), open_writer(path)
    first.recover()
    for _ in range(3):
        first.append()
        second.append()
        first.recover()
        second.recover()
    assert first.journal.errors == 0
    second.journal.close()
    assert messages(path) == ["0", "1", "2"]
    assert first.restores_everything()


def test_start_waits_for_a_predecessor_that_is_stopping(
    path: Path, open_writer: Callable[[Path], Writer]
) -> None:
    """A restarted exporter must not start at 0 because the previous process still holds the lock."""
    previous = open_writer(path)
    previous.recover()
    previous.append(4)
    previous.journal.close()
    lock = path.with_name(f"{path.name}.lock")
    with subprocess.Popen(
        [sys.executable, "-c", LOCK_HOLDER_SCRIPT, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        ending = threading.Timer(0.3, holder.communicate, [b"\n"])
        ending.start()
        successor = open_writer(path)
        ending.join()
    assert successor.restored.counts == previous.expected.counts
