"""kill -9 at any time: each committed batch is in the journal once and complete."""

import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.database_file import connect
from tests.journal.batch_writer_process import batch_name, batch_size, start_batch_writer
from tests.journal.values import counters, messages, set_aside_files
from tests.journal.writer import Writer

ROUNDS = int(os.environ.get("LAB_KILLS", "30"))
SEED = int(os.environ.get("LAB_SEED", "1"))


def run_killed_writer(path: Path, first: int, rng: random.Random) -> list[int]:
    """Run a writer, kill it at a random time and return the numbers of the batches that it reported."""
    reported: list[int] = []
    with start_batch_writer(path, first) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(rng.randint(1, 25)):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(process.stderr.read().decode())
            reported.append(int(line))
        # A random delay, so that the kill can hit the middle of a batch.
        threading.Event().wait(rng.uniform(0, 0.02))
        process.kill()
        reported.extend(int(line) for line in process.stdout.read().split(b"\n")[:-1])
    return reported


def is_whole(path: Path) -> bool:
    database = connect(path)
    try:
        return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        database.close()


def test_killed_writer_loses_and_repeats_no_batch(path: Path) -> None:
    rng = random.Random(SEED)  # noqa: S311 - no secret
    committed: list[int] = []
    unreported = 0
    for _ in range(ROUNDS):
        committed += run_killed_writer(path, len(committed), rng)
        found = Counter(messages(path))
        # The writer may have committed one more batch without reporting it.
        if batch_name(len(committed)) in found:
            committed.append(len(committed))
            unreported += 1
        assert found == {batch_name(number): batch_size(number) for number in committed}
        assert is_whole(path)
        writer = Writer(path)
        assert list(counters(writer.restored).values()) == [found.total()]
        assert writer.journal.events == found.total()
        writer.journal.close()
    assert set_aside_files(path) == []
    print(
        f"\nseed {SEED}: {ROUNDS} kills, {len(committed)} batches ({unreported} committed but not reported), "
        f"{sum(map(batch_size, committed))} transitions, lost 0, duplicates 0"
    )


@pytest.mark.parametrize("round_", range(8))
def test_kill_during_file_creation_leaves_usable_journal(path: Path, round_: int) -> None:
    rng = random.Random(SEED + round_)  # noqa: S311 - no secret
    with start_batch_writer(path, 0) as process:
        while not path.exists():
            assert process.poll() is None
        threading.Event().wait(rng.uniform(0, 0.004))
    writer = Writer(path)
    writer.recover()
    writer.append()
    assert writer.journal.errors == 0
    assert set_aside_files(path) == []
    assert is_whole(path)
    writer.journal.close()
