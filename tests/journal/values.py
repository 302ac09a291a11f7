"""Values to write to a journal, and functions that read them back from the file."""

from collections.abc import Iterable
from pathlib import Path

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.rows import TRANSITION, Entry, entry_from
from libvirt_lifecycle_exporter.model.transitions import Transition

CONNECTION = "qemu:///system"
UUID = "0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab"
AT = 1_700_000_000.0


def transition(
    number: int = 0, *, event: str = "started", reason: str = "booted", at: float = AT
) -> Transition:
    """Create a transition; ``number`` is its message and is added to its time."""
    return Transition(
        at + number,
        CONNECTION,
        UUID,
        "web-1",
        7,
        event,
        reason,
        reason,
        0,
        "callback",
        message=str(number),
    )


def batch(changes: Iterable[Transition]) -> ChangeBatch:
    effects = ChangeBatch()
    for change in changes:
        effects.count_transition(change, change.name)
    return effects


def counters(memory: SavedState) -> dict[tuple[str, ...], float]:
    """Return the counters without their timestamps."""
    return {key: count for key, (count, _last) in memory.counts.items()}


def history(path: Path) -> list[Entry]:
    database = connect(path)
    try:
        query = f"SELECT seq, {', '.join(TRANSITION)} FROM transitions ORDER BY seq"
        return [entry_from(row) for row in database.execute(query)]
    finally:
        database.close()


def messages(path: Path) -> list[str]:
    database = connect(path)
    try:
        return [message for (message,) in database.execute("SELECT message FROM transitions ORDER BY seq")]
    finally:
        database.close()


def set_aside_files(path: Path) -> list[Path]:
    """Return the journals that were set aside, without their -wal and -shm files."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return [aside for aside in found if not aside.name.endswith(("-wal", "-shm"))]
