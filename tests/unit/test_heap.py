"""Memory that is no longer used returns to the kernel."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from libvirt_lifecycle_exporter.runtime import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "limited":
    heap.limit()
before = resident()
for size in range(1, 5):
    # The first free() of a large block would raise the threshold; then such blocks are on the heap.
    bytearray(size << 20)
kept = [bytearray(1000) for _ in range(2000)]
blocks = [bytes(200_000) for _ in range(100)]
last = bytearray(100_000)
del blocks
after = resident()
heap.release_unused()
print(after - before, resident() - before)
"""


def grown(mode: str) -> tuple[int, int]:
    """Return by how many bytes the process has grown: before and after unused memory was released."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, mode],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    before, after = found.stdout.split()
    return int(before), int(after)


def test_large_blocks_return_to_the_kernel() -> None:
    assert grown("limited")[0] < 10_000_000 < grown("default")[0]


def test_unused_memory_of_the_heap_returns_to_the_kernel() -> None:
    before, after = grown("default")
    assert after < before / 2
