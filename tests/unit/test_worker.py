"""The worker without threads: from messages to the journal, the metrics and requests to the connection."""

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp, DomainDetails
from tests.unit.exposition_reader import EVENTS, names, samples, value
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup, observation
from tests.unit.worker_harness import WorkerHarness, confirm


def test_transition_is_counted_and_requests_a_lookup() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web")), lifecycle("stopped", "crashed"))
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="shutoff") == 1
    assert set(harness.requests.lookups) == {"uuid-web"}


def test_open_verdict_delays_the_count_but_not_the_state() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web")), lifecycle("stopped", "failed"))
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="shutoff") == 1
    assert harness.journal.transitions == []
    harness.feed(
        lookup("web", facts("web", "shutoff", "crashed"), details=DomainDetails("kvm", "hello", None))
    )
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="failed") == 0
    assert (
        value(harness.metrics, "libvirt_domain_state_reason", domain="web", state="shutoff", reason="crashed")
        == 1
    )
    assert [(change.reason, change.detail) for change in harness.journal.transitions] == [
        ("crashed", "failed")
    ]


def test_journal_keeps_the_old_state_while_a_verdict_is_open() -> None:
    """If the exporter crashes meanwhile, it infers the stop from the state after its restart."""
    harness = WorkerHarness()
    harness.feed(listing(facts("web")), lifecycle("stopped", "failed"))
    assert harness.journal.domains[HERE, "uuid-web"].state == "running"
    harness.advance(1.6)
    assert harness.journal.domains[HERE, "uuid-web"].state == "shutoff"
    assert harness.journal.pairs("callback") == [("stopped", "crashed")]


def test_missed_transition_is_counted_once_when_confirmed() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web"), facts("db")))
    confirm(harness, listing(facts("web", "shutoff", "crashed"), facts("db")))
    assert harness.journal.pairs("reconcile") == [("stopped", "crashed")]
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="shutoff") == 1
    confirm(harness, listing(facts("web", "shutoff", "crashed"), facts("db")))
    assert len(harness.journal.transitions) == 1


def test_answer_that_overtakes_its_event_is_counted_once() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web", persistent=False)))
    harness.feed(lookup("web", None))
    harness.feed(lifecycle("stopped", "destroyed"))
    confirm(harness, lookup("web", None))
    assert harness.journal.pairs("callback") == [("stopped", "destroyed")]
    assert harness.journal.pairs("reconcile") == []


@pytest.mark.parametrize("source", ["host", "guest"])
def test_shutdown_reported_before_the_start_is_kept(source: str) -> None:
    """libvirt reports a start last, also that of an emulator that got SIGTERM meanwhile. It may take a
    while.
    """
    harness = WorkerHarness()
    harness.feed(listing(facts("web", "shutoff", "unknown")))
    harness.feed(
        lifecycle("resumed", "unpaused"), lifecycle("shutdown", source), lifecycle("started", "booted")
    )
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="shutdown") == 1
    confirm(harness, lookup("web", facts("web", "shutdown", "unknown")))
    harness.feed(
        lifecycle("stopped", "shutdown"), lifecycle("resumed", "unpaused"), lifecycle("started", "booted")
    )
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="running") == 1
    assert harness.journal.pairs("reconcile") == []


@pytest.mark.parametrize("before", [True, False], ids=["before-the-stop", "after-the-stop"])
def test_reported_shutdown_is_not_inferred_again(*, before: bool) -> None:
    """Without an observed start a shutdown/host is ambiguous; then libvirt reports that the run is
    shutting down.
    """
    harness = WorkerHarness()
    harness.feed(listing(facts("web", "shutoff", "unknown")))
    harness.feed(ConnectionDown(1001.0, HERE, "lost"), ConnectionUp(1002.0, HERE))
    harness.feed(lifecycle("shutdown", "host", at=1003.0))
    if before:
        harness.feed(lookup("web", facts("web", "shutdown", "unknown"), at=1003.1))
    else:
        confirm(harness, lookup("web", facts("web", "shutdown", "unknown"), at=1003.1))
    harness.feed(lifecycle("stopped", "shutdown", at=1003.2))
    assert harness.journal.pairs("reconcile") == [("started", "unknown")]
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="quit") == 1


def test_vanished_domain_is_stopped_and_removed() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web", persistent=False), facts("db", "shutoff")))
    confirm(harness, listing())
    assert sorted(harness.journal.pairs("reconcile")) == [("stopped", "unknown"), ("undefined", "removed")]
    changes = "libvirt_domain_inventory_changes_total"
    assert value(harness.metrics, changes, change="removed", reason="shutdown") == 1
    assert value(harness.metrics, changes, change="removed", reason="undefined") == 1


def test_slow_start_is_no_missed_start() -> None:
    """On a busy host libvirt answers "starting up" for seconds before it sends the start."""
    harness = WorkerHarness()
    harness.feed(listing(), lifecycle("defined", "added"))
    confirm(harness, lookup("web", facts("web", "paused", "starting_up")))
    harness.feed(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"))
    confirm(harness, lookup("web", facts("web")))
    assert harness.journal.pairs("reconcile") == []
    assert value(harness.metrics, "libvirt_domain_state", domain="web", state="running") == 1


def test_first_listing_counts_nothing() -> None:
    harness = WorkerHarness()
    confirm(harness, listing(facts("web"), facts("db", "crashed", "panicked")))
    assert harness.journal.transitions == []
    assert value(harness.metrics, "libvirt_domain_state", domain="db", state="crashed") == 1


def test_missed_rename_is_counted_under_both_names() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web", "shutoff")))
    confirm(harness, listing(facts("www", "shutoff", uuid="uuid-web")))
    assert value(harness.metrics, EVENTS, domain="web", event="undefined", reason="renamed") == 1
    assert value(harness.metrics, EVENTS, domain="www", event="defined", reason="renamed") == 1


def test_counters_continue_after_a_restart() -> None:
    before = WorkerHarness()
    before.feed(
        ConnectionUp(1000.0, HERE), listing(facts("web"), facts("db")), lifecycle("suspended", "paused")
    )
    before.advance()
    after = WorkerHarness(restored=before.journal.memory())
    after.now = 1012.0
    assert value(after.metrics, EVENTS, domain="web", event="suspended", reason="paused") == 1
    assert value(after.metrics, "libvirt_domain_state", domain="web", state="paused") == 1
    after.feed(ConnectionUp(1012.0, HERE))
    confirm(after, listing(facts("web", "paused", "user"), facts("db", "shutoff", "crashed")))
    assert after.journal.pairs("reconcile") == [("stopped", "crashed")]
    assert value(after.metrics, "libvirt_connection_unobserved_seconds_total") == 10.0
    assert (
        value(after.metrics, "libvirt_connection_lifecycle_events_total", event="suspended", reason="paused")
        == 1
    )


def test_time_without_a_connection_is_counted_as_unobserved() -> None:
    harness = WorkerHarness()
    harness.feed(
        ConnectionUp(1000.0, HERE),
        listing(),
        ConnectionDown(1010.0, HERE, "x"),
        ConnectionDown(1020.0, HERE, "x"),
    )
    harness.feed(ConnectionUp(1034.5, HERE))
    assert value(harness.metrics, "libvirt_connection_unobserved_seconds_total") == 24.5
    assert value(harness.metrics, "libvirt_connection_reconnects_total") == 1


def test_late_answer_does_not_shorten_unobserved_time() -> None:
    harness = WorkerHarness()
    harness.feed(
        ConnectionUp(1000.0, HERE), listing(), ConnectionDown(1001.0, HERE, "lost"), listing(at=1005.0)
    )
    harness.feed(ConnectionUp(1011.0, HERE))
    assert value(harness.metrics, "libvirt_connection_unobserved_seconds_total", connection=HERE) == 10


def test_changed_metadata_requests_a_lookup_only() -> None:
    harness = WorkerHarness()
    harness.feed(listing())
    harness.feed(observation("metadata_change", 1))
    assert set(harness.requests.lookups) == {"uuid-web"}
    assert names(harness.metrics) == set()


def test_details_are_fetched_once_for_every_listed_domain() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web"), facts("db")))
    assert set(harness.requests.lookups) == {"uuid-web", "uuid-db"}
    harness.requests.lookups.clear()
    harness.feed(lookup("web", facts("web"), details=DomainDetails("kvm", "", None)))
    harness.feed(listing(facts("web"), facts("db")))
    assert set(harness.requests.lookups) == {"uuid-db"}


def test_worker_is_ready_when_every_connection_is_listed() -> None:
    harness = WorkerHarness()
    assert (harness.worker.is_ready(), harness.worker.down_connections()) == (False, [HERE])
    harness.feed(ConnectionUp(0.0, HERE))
    assert (harness.worker.is_ready(), harness.worker.down_connections()) == (False, [])
    harness.feed(listing(), ConnectionDown(0.0, HERE, "gone"))
    assert (harness.worker.is_ready(), harness.worker.down_connections()) == (True, [HERE])


def test_only_included_domains_are_counted_and_looked_up() -> None:
    harness = WorkerHarness(include="web.*|db", exclude=".*-test")
    wanted, unwanted = ("web", "web-1", "db"), ("web-test", "adb", "db2", "other")
    harness.feed(listing(*(facts(name) for name in (*wanted, *unwanted))))
    harness.feed(*(lifecycle("stopped", "crashed", name=name) for name in (*wanted, *unwanted)))
    harness.feed(*(lookup(name, facts(name)) for name in (*wanted, *unwanted)))
    assert names(harness.metrics) == set(wanted)
    assert set(harness.requests.lookups) == {f"uuid-{name}" for name in wanted}
    labels = {"event": "stopped", "reason": "crashed"}
    assert value(harness.metrics, "libvirt_connection_lifecycle_events_total", **labels) == len(wanted)


def test_removed_domains_expire_in_all_components() -> None:
    harness = WorkerHarness()
    harness.feed(listing(), lifecycle("started", "booted"), lifecycle("stopped", "destroyed"))
    harness.now = 1899.0
    harness.worker.tick()
    assert names(harness.metrics) == {"web"}
    harness.now = 1901.0
    harness.worker.tick()
    assert names(harness.metrics) == set()


def test_renamed_domain_has_its_own_series() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web", "shutoff")))
    harness.feed(
        lifecycle("undefined", "renamed", name="web"),
        lifecycle("defined", "renamed", name="www", uuid="uuid-web"),
    )
    assert value(harness.metrics, EVENTS, domain="web", event="undefined", reason="renamed") == 1
    assert value(harness.metrics, EVENTS, domain="www", event="defined", reason="renamed") == 1
    harness.now = 1e9
    harness.worker.tick()
    assert names(harness.metrics) == {"www"}


def test_invalid_message_is_dropped_and_others_are_applied() -> None:
    harness = WorkerHarness()
    broken = lifecycle("stopped", "crashed")._replace(event="not a number", detail=[])  # type: ignore[arg-type]
    harness.feed(listing(facts("web")), broken, lifecycle("stopped", "crashed"))
    assert value(harness.metrics, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert (harness.message_queue.dropped["worker_error"], harness.requests.listings) == (1, 1)


def test_5000_removed_domains_are_counted() -> None:
    harness = WorkerHarness()
    many = [facts(f"vm-{number}", persistent=False) for number in range(5000)]
    harness.feed(listing(*many))
    for one in many:
        harness.feed(lifecycle("stopped", "destroyed", name=one.name))
    labels = {"event": "stopped", "reason": "destroyed"}
    assert value(harness.metrics, "libvirt_connection_lifecycle_events_total", **labels) == 5000
    shown = samples(harness.metrics)
    counted = {
        dict(has)["domain"]: n
        for (name, has), n in shown.items()
        if name == EVENTS and labels.items() <= dict(has).items()
    }
    assert sum(counted.values()) == 5000
    assert 0 < counted["_other"] < 5000
    assert (
        value(harness.metrics, "libvirt_domain_inventory_changes_total", change="removed", reason="shutdown")
        == 5000
    )
    harness.now = 1e9
    harness.worker.tick()
    assert names(harness.metrics) == {"_other"}
    assert harness.metrics.series == 2


def test_free_form_details_do_not_multiply_the_series() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web")))
    before = len(samples(harness.metrics))
    harness.feed(*(observation("io_error_reason", 1, word=f"word-{number}") for number in range(200)))
    raw = "libvirt_connection_raw_events_total"
    assert value(harness.metrics, raw, event="io_error", detail="other") == 200
    assert len(samples(harness.metrics)) - before < 10
    assert {change.detail for change in harness.journal.transitions} == {f"word-{n}" for n in range(200)}


def test_free_form_details_of_a_journal_are_folded() -> None:
    totals = {(HERE, "raw", "io_error", f"word-{number}"): 1.0 for number in range(5)}
    harness = WorkerHarness(restored=NOTHING._replace(totals=totals))
    assert (
        value(harness.metrics, "libvirt_connection_raw_events_total", event="io_error", detail="other") == 5
    )
