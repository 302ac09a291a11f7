"""A kill, or a journal in trouble, while it is open why a domain stopped: the stop is found again, once."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from libvirt_lifecycle_exporter.engine.engine import Engine
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import Lookup, Observation
from tests.journal.life import Life
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup

KILLED = lifecycle("stopped", "failed")
GONE = lookup("web", None)
TRANSIENT = facts("web", persistent=False)


def test_a_transient_domain_is_removed_once(life: Life) -> None:
    life.lists(listing(TRANSIENT))
    life.feed(KILLED)
    life.kill()
    life.lists(listing())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert life.changes("removed", "shutdown") == 1


def test_one_that_came_and_went_within_a_batch_is_added_once_and_removed_once(life: Life) -> None:
    life.lists(listing())
    life.put(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"), KILLED)
    life.work()
    life.kill()
    life.lists(listing())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert (life.changes("added", "started"), life.changes("removed", "shutdown")) == (1, 1)


def test_of_two_runs_within_a_batch_the_first_is_over(life: Life) -> None:
    life.lists(listing())
    boot = lifecycle("resumed", "unpaused"), lifecycle("started", "booted")
    life.put(*boot, lifecycle("stopped", "destroyed"), *boot, KILLED)
    life.work()
    life.kill()
    life.lists(listing())
    assert life.inferred() == [("web", "stopped", "unknown")]
    assert (life.changes("added", "started"), life.changes("removed", "shutdown")) == (2, 2)


@pytest.mark.parametrize("ends", [GONE, lifecycle("started", "booted")], ids=["asked", "started again"])
def test_the_removal_is_counted_with_the_verdict(life: Life, ends: Observation | Lookup) -> None:
    life.lists(listing(TRANSIENT))
    life.feed(KILLED)
    assert life.changes("removed", "shutdown") == 0
    life.feed(ends)
    assert life.changes("removed", "shutdown") == 1
    life.kill()
    assert life.changes("removed", "shutdown") == 1


def test_a_journal_written_anew_meanwhile_knows_the_state_before(life: Life) -> None:
    life.lists(listing(facts("web")))
    life.feed(KILLED)
    life.path.unlink()
    life.worker.tick()
    assert life.journal.is_open()
    life.kill()
    life.lists(listing(facts("web", "shutoff", "crashed")))
    assert life.inferred() == [("web", "stopped", "crashed")]


def test_trouble_of_the_journal_that_begins_and_ends_meanwhile_changes_nothing(life: Life) -> None:
    life.lists(listing(facts("web")))
    with closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.feed(lifecycle("suspended", "paused"), KILLED)
        assert life.journal.errors
    life.worker.tick()
    life.kill()
    life.lists(listing(facts("web", "shutoff", "crashed")))
    assert life.inferred() == [("web", "stopped", "crashed")]


def test_what_was_handed_over_to_be_written_does_not_change_any_more() -> None:
    orders = itertools.count()
    engine = Engine(
        [HERE],
        SeriesLimit(100, 900),
        DomainFilter(),
        series_ttl=900,
        loop_iterations=lambda: 0,
        clock=lambda: 1000.0,
        next_order=orders.__next__,
    )
    engine.process(listing(facts("web")))
    engine.process(lifecycle("suspended", "paused"))
    engine.settle()
    batch, _ = engine.collect()
    engine.process(lifecycle("stopped", "destroyed"))
    assert [domain.state for domain in batch.domains.values()] == ["paused"]
