"""A kill, or a journal in trouble, while it is open why a domain stopped: the stop is found again, once."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from libvirt_lifecycle_exporter.engine.engine import Engine
from libvirt_lifecycle_exporter.engine.series_budget import SeriesBudget
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import Lookup, Observation
from tests.journal.life import Life
from tests.unit.seen import HERE, facts, lifecycle, look, snapshot

KILLED = lifecycle("stopped", "failed")
GONE = look("web", None)
TRANSIENT = facts("web", persistent=False)


def test_transient_domain_is_removed_once(life: Life) -> None:
    life.lists(snapshot(TRANSIENT))
    life.feed(KILLED)
    life.is_killed()
    life.lists(snapshot())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert life.changes("removed", "shutdown") == 1


def test_domain_within_one_batch_is_added_and_removed_once(life: Life) -> None:
    life.lists(snapshot())
    life.put(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"), KILLED)
    life.work()
    life.is_killed()
    life.lists(snapshot())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert (life.changes("added", "started"), life.changes("removed", "shutdown")) == (1, 1)


def test_first_of_two_runs_within_one_batch_is_closed(life: Life) -> None:
    life.lists(snapshot())
    boot = lifecycle("resumed", "unpaused"), lifecycle("started", "booted")
    life.put(*boot, lifecycle("stopped", "destroyed"), *boot, KILLED)
    life.work()
    life.is_killed()
    life.lists(snapshot())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert (life.changes("added", "started"), life.changes("removed", "shutdown")) == (2, 2)


@pytest.mark.parametrize("ends", [GONE, lifecycle("started", "booted")], ids=["asked", "started again"])
def test_removal_is_counted_with_the_stop_reason(life: Life, ends: Observation | Lookup) -> None:
    life.lists(snapshot(TRANSIENT))
    life.feed(KILLED)
    assert life.changes("removed", "shutdown") == 0
    life.feed(ends)
    assert life.changes("removed", "shutdown") == 1
    life.is_killed()
    assert life.changes("removed", "shutdown") == 1


def test_rewritten_journal_has_the_state_before_the_stop(life: Life) -> None:
    life.lists(snapshot(facts("web")))
    life.feed(KILLED)
    life.path.unlink()
    life.worker.tick()
    assert life.journal.is_open()
    life.is_killed()
    life.lists(snapshot(facts("web", "shutoff", "crashed")))
    assert life.inferred() == [("web", "stopped", "crashed")]


def test_journal_outage_during_pending_stop_changes_nothing(life: Life) -> None:
    life.lists(snapshot(facts("web")))
    with closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.feed(lifecycle("suspended", "paused"), KILLED)
        assert life.journal.errors
    life.worker.tick()
    life.is_killed()
    life.lists(snapshot(facts("web", "shutoff", "crashed")))
    assert life.inferred() == [("web", "stopped", "crashed")]


def test_collected_batch_does_not_change_afterwards() -> None:
    orders = itertools.count()
    engine = Engine(
        [HERE],
        SeriesBudget(100, 900),
        DomainFilter(),
        memory=900,
        turns=lambda: 0,
        clock=lambda: 1000.0,
        draw_order=orders.__next__,
    )
    engine.process(snapshot(facts("web")))
    engine.process(lifecycle("suspended", "paused"))
    engine.settle()
    batch, _ = engine.collect()
    engine.process(lifecycle("stopped", "destroyed"))
    assert [domain.state for domain in batch.domains.values()] == ["paused"]
