"""Everything that is written is restored: values, counters, totals, domains and coverage."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.model.transitions import InventoryChange, Transition
from tests.journal.strategies import DOMAINS, TIMES, TRANSITIONS, WORDS
from tests.journal.values import batch, history, transition
from tests.journal.writer import Writer

# The disk is slow when other processes use it.
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def open_new_writer() -> Iterator[Writer]:
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder) / "journal.sqlite")
        writer.recover()
        try:
            yield writer
        finally:
            writer.journal.close()


@NO_DEADLINE
@given(st.lists(TRANSITIONS, max_size=5))
def test_transitions_are_restored_unchanged_and_in_order(changes: list[Transition]) -> None:
    with open_new_writer() as writer:
        writer.write(batch(changes))
        entries = history(writer.path)
    assert [entry.transition for entry in entries] == changes
    assert [entry.seq for entry in entries] == sorted({entry.seq for entry in entries})


@NO_DEADLINE
@given(DOMAINS)
def test_domains_are_restored_unchanged(domain: Domain) -> None:
    effects = ChangeBatch()
    effects.add_domain(domain)
    with open_new_writer() as writer:
        writer.write(effects)
        assert writer.restart().domains == [domain]


NAMES = st.sampled_from(("a", "b"))
SMALL = st.builds(
    lambda name, event, at: Transition(at, name, name, name, 1, event, event, event, 0, "callback"),
    NAMES,
    st.sampled_from(("started", "stopped")),
    TIMES,
)


@st.composite
def effects(draw: st.DrawFn) -> ChangeBatch:
    result = batch(draw(st.lists(SMALL, max_size=3)))
    for domain in draw(st.lists(DOMAINS, max_size=2)):
        result.add_domain(domain)
    result.forgotten = draw(st.lists(DOMAINS, max_size=1))
    result.expired = draw(st.lists(st.tuples(NAMES, NAMES), max_size=1))
    result.observed_until = draw(st.dictionaries(WORDS, TIMES, max_size=1))
    for name in draw(st.lists(NAMES, max_size=2)):
        result.add_inventory_change(name, InventoryChange("added", "started"))
    return result


ACTIONS = ("append", "recover", "restart", "delete", "close")


@NO_DEADLINE
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), effects()), max_size=10))
def test_counters_survive_any_sequence_of_file_faults(actions: list[tuple[str, ChangeBatch]]) -> None:
    """`recover` detects a deleted file. A restart between deletion and recovery is not part of this test."""
    with open_new_writer() as writer:
        for action, given_effects in actions:
            writer.write(given_effects)
            if action == "delete":
                writer.path.unlink()
            elif action == "close":
                writer.journal.close()
            elif action == "restart":
                assert writer.restores_everything()
            writer.recover()
        assert writer.restores_everything()


def test_last_timestamp_of_a_pair_is_the_newest(writer: Writer) -> None:
    writer.recover()
    writer.write(batch([transition(1), transition(5)]))
    writer.write(batch([transition(9)]))
    assert [last for _, last in writer.restart().counts.values()] == [transition(9).at]


def test_sequence_numbers_are_never_reused(writer: Writer) -> None:
    writer.recover()
    writer.append(3)
    writer.journal.close()
    before = history(writer.path)[-1].seq
    database = connect(writer.path)
    database.execute("DELETE FROM transitions")
    database.close()
    writer.restart()
    writer.append()
    assert [entry.seq for entry in history(writer.path)] == [before + 1]
