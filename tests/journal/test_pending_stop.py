"""A kill or a journal fault while the reason of a stop is pending: the stop is counted again, once."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from libvirt_lifecycle_exporter.engine.engine import Engine
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import Lookup, Observation
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup

KILLED = lifecycle("stopped", "failed")
GONE = lookup("web", None)
TRANSIENT = facts("web", persistent=False)


def test_transient_domain_is_removed_once(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(TRANSIENT))
    exporter.feed(KILLED)
    exporter.kill()
    exporter.connect_and_list(listing())
    assert exporter.inferred() == [("web", "stopped", "unknown")]
    assert exporter.inventory_changes("removed", "shutdown") == 1


def test_domain_within_one_batch_is_added_and_removed_once(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing())
    exporter.enqueue(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"), KILLED)
    exporter.work()
    exporter.kill()
    exporter.connect_and_list(listing())
    assert exporter.inferred() == [("web", "stopped", "unknown")]
    assert (
        exporter.inventory_changes("added", "started"),
        exporter.inventory_changes("removed", "shutdown"),
    ) == (1, 1)


def test_first_of_two_runs_within_one_batch_is_closed(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing())
    boot = lifecycle("resumed", "unpaused"), lifecycle("started", "booted")
    exporter.enqueue(*boot, lifecycle("stopped", "destroyed"), *boot, KILLED)
    exporter.work()
    exporter.kill()
    exporter.connect_and_list(listing())
    assert exporter.inferred() == [("web", "stopped", "unknown")]
    assert (
        exporter.inventory_changes("added", "started"),
        exporter.inventory_changes("removed", "shutdown"),
    ) == (2, 2)


@pytest.mark.parametrize("ends", [GONE, lifecycle("started", "booted")], ids=["looked up", "started again"])
def test_removal_is_counted_with_the_stop_reason(
    exporter: SimulatedExporter, ends: Observation | Lookup
) -> None:
    exporter.connect_and_list(listing(TRANSIENT))
    exporter.feed(KILLED)
    assert exporter.inventory_changes("removed", "shutdown") == 0
    exporter.feed(ends)
    assert exporter.inventory_changes("removed", "shutdown") == 1
    exporter.kill()
    assert exporter.inventory_changes("removed", "shutdown") == 1


def test_rewritten_journal_has_the_state_before_the_stop(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(facts("web")))
    exporter.feed(KILLED)
    exporter.path.unlink()
    exporter.worker.tick()
    assert exporter.journal.is_open()
    exporter.kill()
    exporter.connect_and_list(listing(facts("web", "shutoff", "crashed")))
    assert exporter.inferred() == [("web", "stopped", "crashed")]


def test_journal_outage_during_pending_stop_changes_nothing(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(facts("web")))
    with closing(sqlite3.connect(exporter.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        exporter.feed(lifecycle("suspended", "paused"), KILLED)
        assert exporter.journal.errors
    exporter.worker.tick()
    exporter.kill()
    exporter.connect_and_list(listing(facts("web", "shutoff", "crashed")))
    assert exporter.inferred() == [("web", "stopped", "crashed")]


def test_collected_batch_does_not_change_afterwards() -> None:
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
