"""A disk that is full, or read-only: counted in memory, said, healed; nothing lost and nothing twice."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.journal import clerk_process
from tests.journal.disk import Disk

APPENDED = 4000
"""More than fits."""


class Clerk:
    """A process that writes a journal on the disk, as it is told."""

    def __init__(self, disk: Disk, log: Path) -> None:
        self.log = log
        argv = disk.python("-m", clerk_process.__name__, disk.folder / "journal.sqlite")
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

    def __call__(self, order: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def said(self, words: str) -> int:
        return self.log.read_text().count(words)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def clerk(disk: Disk, tmp_path: Path) -> Iterator[Clerk]:
    with Clerk(disk, tmp_path / "clerk.log") as clerk:
        clerk("tend")
        clerk("append 10")
        yield clerk


def overflow(clerk: Clerk) -> int:
    """Batch by batch; the number of transitions that were given."""
    given = 10
    while not clerk("append 50")["errors"]:
        given += 50
        assert given < APPENDED
    return given + 50


def has_all(clerk: Clerk, given: int) -> None:
    assert clerk("messages")["messages"] == [str(number) for number in range(given)]
    assert clerk("remembers")["remembers"]


def test_journal_recovers_after_disk_full(disk: Disk, clerk: Clerk) -> None:
    disk.fill()
    given = overflow(clerk)
    errors = [clerk(order)["errors"] for order in ("tend", "append 7", "tend", "tend")]
    given += 7
    assert errors == sorted(errors)
    assert 1 < errors[0] < errors[-1]
    assert clerk.said("journal unavailable") <= 2, "once for each cause: writing, and opening anew"
    disk.make_room()
    assert clerk("tend")["well"]
    assert clerk.said("journal recovered") == 1
    clerk("append 3")
    has_all(clerk, given + 3)


def test_journal_recovers_after_read_only_disk(disk: Disk, clerk: Clerk) -> None:
    """Made read-only between two attempts: while a file is open for writing, nobody can."""
    disk.fill()
    given = overflow(clerk)
    assert disk.freeze()
    before = clerk("tend")["errors"]
    clerk("append 5")
    assert clerk("tend")["errors"] > before
    assert clerk.said("journal unavailable") <= 2
    disk.thaw()
    assert not clerk("tend")["well"], "it is still full"
    disk.make_room()
    assert clerk("tend")["well"]
    has_all(clerk, given + 5)


@pytest.mark.parametrize("ended", ["in good order", "by kill -9"])
@pytest.mark.parametrize("ailment", ["full", "read-only"])
def test_restart_on_unwritable_disk_restores_counters(
    ended: str, ailment: str, disk: Disk, tmp_path: Path
) -> None:
    with Clerk(disk, tmp_path / "first.log") as first:
        first("tend")
        first("append 10")
        if ended == "by kill -9":
            first.kill()
    if ailment == "full":
        disk.fill()
    else:
        assert disk.freeze()
    with Clerk(disk, tmp_path / "second.log") as second:
        assert second("tend")["counted"] == 10
        second("append 600")
        if ailment == "full":
            disk.make_room()
        else:
            disk.thaw()
        assert second("tend")["well"]
        assert second.said("journal recovered") <= 1
        second("append 1")
        assert len(second("messages")["messages"]) == 611
        assert second("remembers")["remembers"]


def test_disk_fixture_is_removed(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk") as disk:
        disk.run("touch", disk.folder / "here")
        assert list(disk.folder.iterdir()) == []
    assert "disk" not in Path("/proc/self/mounts").read_text()
