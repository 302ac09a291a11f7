"""Values to journal: by hand for scenes, by hypothesis for the round trip."""

from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.effects import Effects, Memory
from libvirt_lifecycle_exporter.journal.file import connect
from libvirt_lifecycle_exporter.journal.rows import TRANSITION, Entry, entry_from
from libvirt_lifecycle_exporter.transition import DomainDetails, Nova, Transition

CONNECTION = "qemu:///system"
UUID = "0b3c7b0e-6f0a-4b6e-9c3e-0123456789ab"
AT = 1_700_000_000.0

# What travels is clean (text.clean): anything but lone surrogates.
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers(-(2**31), 2**31 - 1)
TRANSITIONS = st.builds(
    Transition,
    at=TIMES,
    connection=WORDS,
    uuid=WORDS,
    name=WORDS,
    domain_id=NUMBERS,
    event=WORDS,
    reason=WORDS,
    detail=WORDS,
    detail_code=NUMBERS,
    source=WORDS,
    message=WORDS,
    run_id=WORDS,
    incident_id=WORDS,
)
DETAILS = st.builds(
    DomainDetails, WORDS, WORDS, st.none() | st.builds(Nova, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS)
)
DOMAINS = st.builds(
    Domain,
    connection=WORDS,
    uuid=WORDS,
    name=WORDS,
    state=WORDS,
    reason=WORDS,
    since=TIMES,
    confirmed=st.booleans(),
    domain_id=NUMBERS,
    persistent=st.none() | st.booleans(),
    autostart=st.none() | st.booleans(),
    details=st.none() | DETAILS,
    present=st.booleans(),
    removed_at=TIMES,
    run_id=WORDS,
)


def transition(
    number: int = 0, *, event: str = "started", reason: str = "booted", at: float = AT
) -> Transition:
    """Its message says which one it is."""
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


def batch(changes: Iterable[Transition]) -> Effects:
    effects = Effects()
    for change in changes:
        effects.count(change)
    return effects


def counters(memory: Memory) -> dict[tuple[str, ...], float]:
    """How often, without when."""
    return {key: count for key, (count, _last) in memory.counts.items()}


def history(path: Path) -> list[Entry]:
    database = connect(path)
    database.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        query = f"SELECT seq, {', '.join(TRANSITION)} FROM transitions ORDER BY seq"  # noqa: S608 - our names
        return [entry_from(row) for row in database.execute(query)]
    finally:
        database.close()


def messages(path: Path) -> list[str]:
    return [entry.transition.message for entry in history(path)]


def asides(path: Path) -> list[Path]:
    """Journals that were set aside, without their companions."""
    found = path.parent.glob(f"{path.name}.corrupt-*")
    return [aside for aside in found if not aside.name.endswith(("-wal", "-shm"))]
