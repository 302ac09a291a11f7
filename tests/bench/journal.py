"""Cost of the journal: bytes per event, and the start-up time with a long history."""

import time
from pathlib import Path

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.bench.size import node
from tests.lab.exporter import Exporter

ROWS = 1_000_000
DOMAINS = 1000
BATCH = 1000


def fill(path: Path) -> float:
    """Write ROWS transitions of DOMAINS domains; return the bytes per event."""
    journal = Journal(path)
    journal.restore()
    for number in range(0, ROWS, BATCH):
        effects = ChangeBatch()
        for place in range(number, number + BATCH):
            counted = transition(place)
            effects.count_transition(counted, counted.name)
        journal.append(effects)
    journal.close()
    return path.stat().st_size / ROWS


def transition(place: int) -> Transition:
    event, reason = (("suspended", "paused"), ("resumed", "unpaused"))[place % 2]
    name = f"vm-{place // 2 % DOMAINS}"
    uuid = f"00000000-0000-4000-8000-{place // 2 % DOMAINS:012}"
    now = time.time()
    return Transition(now, "size", uuid, name, 1, event, reason, reason, 0, "callback", run_id="0" * 16)


def figures(folder: Path) -> dict[str, float]:
    bytes_each = fill(folder / "history.sqlite")
    uri = node(folder, DOMAINS)
    ready = {}
    for name, journal in (("empty", "empty.sqlite"), ("full", "history.sqlite")):
        exporter = Exporter(folder, [uri], extra_args=("--journal.path", str(folder / journal)))
        started = time.perf_counter()
        exporter.start()
        exporter.wait_ready()
        ready[name] = time.perf_counter() - started
        exporter.stop()
    return {
        "rows": ROWS,
        "bytes_an_event": bytes_each,
        "ready_with_an_empty_journal_s": ready["empty"],
        "ready_with_a_full_journal_s": ready["full"],
        "ratio": ready["full"] / ready["empty"],
    }
