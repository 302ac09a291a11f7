"""Process that appends numbered batches to a journal until it is killed.

Run as a script with two arguments: the path of the journal and the number of the first batch. The process
prints the number of each batch after the commit. The number determines the size of the batch; the message of
each transition names the batch.
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
from tests.journal.values import batch, transition
from tests.journal.writer import Writer

MODULE = "tests.journal.batch_writer_process"
LARGE_BATCH = 60


def batch_size(number: int) -> int:
    """Return the number of transitions in a batch: usually small, sometimes many database pages."""
    rng = random.Random(number)  # noqa: S311 - no secret
    return rng.choice((1, 1, 2, 5, LARGE_BATCH, 40 * LARGE_BATCH))


def batch_name(number: int) -> str:
    return f"batch {number}"


def batch_numbers(first: int) -> Iterator[int]:
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
    writer.recover()
    maintenance = JournalMaintenance(writer.journal, max_age=0, max_bytes=0)
    for number in batch_numbers(int(sys.argv[2])):
        writer.write(
            batch(transition()._replace(message=batch_name(number)) for _ in range(batch_size(number)))
        )
        if writer.journal.errors:
            sys.exit(f"{writer.journal.errors} errors")
        os.write(1, f"{number}\n".encode())
        if number % 5 == 0:
            maintenance.run_once(time.time())
        writer.recover()


if __name__ == "__main__":
    main()
