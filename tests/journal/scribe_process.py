"""Appends to a journal for as long as it lives, and says each number once it is committed.

Run as a script: the journal's path, and the number of its first batch. A batch has a size that its number
gives; each of its transitions names the batch. It is what is killed.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from tests.journal.model import Writer
from tests.journal.values import batch, transition

MODULE = "tests.journal.scribe_process"
MOST = 60


def size(number: int) -> int:
    """Of the batch with this number: mostly small, sometimes over many pages."""
    dice = random.Random(number)  # noqa: S311 - no secret
    return dice.choice((1, 1, 2, 5, MOST, 40 * MOST))


def name(number: int) -> str:
    return f"batch {number}"


def numbers(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


@contextmanager
def start_batch_writer(path: Path, first: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run this script on the journal at ``path`` until the context ends."""
    argv = [sys.executable, "-m", MODULE, str(path), str(first)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def main() -> None:
    writer = Writer(Path(sys.argv[1]))
    writer.tend()
    keeper = JournalMaintenance(writer.journal, max_age=0, max_bytes=0)
    for number in numbers(int(sys.argv[2])):
        writer.give(batch(transition()._replace(message=name(number)) for _ in range(size(number))))
        if writer.journal.errors:
            sys.exit(f"{writer.journal.errors} errors")
        os.write(1, f"{number}\n".encode())
        if number % 5 == 0:
            keeper.run_once(time.time())
        writer.tend()


if __name__ == "__main__":
    main()
