"""A disk that is full or read-only: the journal buffers in memory, logs once, recovers and loses nothing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.journal import journal_command_process
from tests.journal.disk import Disk

MAX_APPENDED = 4000
"""More transitions than fit on the disk."""


class JournalProcess:
    """Controls a process that writes a journal on the disk."""

    def __init__(self, disk: Disk, log: Path) -> None:
        self.log = log
        argv = disk.python("-m", journal_command_process.__name__, disk.folder / "journal.sqlite")
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.communicate()

    def __call__(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def log_count(self, text: str) -> int:
        return self.log.read_text().count(text)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def journal_process(disk: Disk, tmp_path: Path) -> Iterator[JournalProcess]:
    with JournalProcess(disk, tmp_path / "writer.log") as journal_process:
        journal_process("recover")
        journal_process("append 10")
        yield journal_process


def overflow(journal_process: JournalProcess) -> int:
    """Append batches until the first error; return the number of appended transitions."""
    appended = 10
    while not journal_process("append 50")["errors"]:
        appended += 50
        assert appended < MAX_APPENDED
    return appended + 50


def check_complete(journal_process: JournalProcess, appended: int) -> None:
    assert journal_process("messages")["messages"] == [str(number) for number in range(appended)]
    assert journal_process("is_restored")["is_restored"]


def test_journal_recovers_after_disk_full(disk: Disk, journal_process: JournalProcess) -> None:
    disk.fill()
    appended = overflow(journal_process)
    errors = [journal_process(command)["errors"] for command in ("recover", "append 7", "recover", "recover")]
    appended += 7
    assert errors == sorted(errors)
    assert 1 < errors[0] < errors[-1]
    assert journal_process.log_count("journal unavailable") <= 2, (
        "once for each cause: writing, and opening anew"
    )
    disk.free_space()
    assert journal_process("recover")["is_open"]
    assert journal_process.log_count("journal recovered") == 1
    journal_process("append 3")
    check_complete(journal_process, appended + 3)


def test_journal_recovers_after_read_only_disk(disk: Disk, journal_process: JournalProcess) -> None:
    """The disk becomes read-only between two attempts: not possible while a file is open for writing."""
    disk.fill()
    appended = overflow(journal_process)
    assert disk.make_read_only()
    before = journal_process("recover")["errors"]
    journal_process("append 5")
    assert journal_process("recover")["errors"] > before
    assert journal_process.log_count("journal unavailable") <= 2
    disk.make_writable()
    assert not journal_process("recover")["is_open"], "it is still full"
    disk.free_space()
    assert journal_process("recover")["is_open"]
    check_complete(journal_process, appended + 5)


@pytest.mark.parametrize("stop_mode", ["in good order", "by kill -9"])
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_restart_on_unwritable_disk_restores_counters(
    stop_mode: str, fault: str, disk: Disk, tmp_path: Path
) -> None:
    with JournalProcess(disk, tmp_path / "first.log") as first:
        first("recover")
        first("append 10")
        if stop_mode == "by kill -9":
            first.kill()
    if fault == "full":
        disk.fill()
    else:
        assert disk.make_read_only()
    with JournalProcess(disk, tmp_path / "second.log") as second:
        assert second("recover")["counted"] == 10
        second("append 600")
        if fault == "full":
            disk.free_space()
        else:
            disk.make_writable()
        assert second("recover")["is_open"]
        assert second.log_count("journal recovered") <= 1
        second("append 1")
        assert len(second("messages")["messages"]) == 611
        assert second("is_restored")["is_restored"]


def test_disk_fixture_is_removed(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk") as disk:
        disk.run("touch", disk.folder / "here")
        assert list(disk.folder.iterdir()) == []
    assert "disk" not in Path("/proc/self/mounts").read_text()
