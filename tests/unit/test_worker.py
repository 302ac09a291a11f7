"""The pipeline without threads: messages in, journal written, the sink told, the connection asked."""

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp, DomainDetails
from tests.unit.exposition_reader import EVENTS, names, samples, value
from tests.unit.rig import Rig, settle
from tests.unit.seen import HERE, facts, lifecycle, look, observation, snapshot


def test_transition_is_counted_and_requests_a_lookup() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web")), lifecycle("stopped", "crashed"))
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="shutoff") == 1
    assert set(rig.asked.looks) == {"uuid-web"}


def test_open_verdict_delays_the_count_but_not_the_state() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web")), lifecycle("stopped", "failed"))
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="shutoff") == 1
    assert rig.notebook.transitions == []
    rig.feed(look("web", facts("web", "shutoff", "crashed"), details=DomainDetails("kvm", "hello", None)))
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="failed") == 0
    assert (
        value(rig.sink, "libvirt_domain_state_reason", domain="web", state="shutoff", reason="crashed") == 1
    )
    assert [(change.reason, change.detail) for change in rig.notebook.transitions] == [("crashed", "failed")]


def test_journal_keeps_the_old_state_while_a_verdict_is_open() -> None:
    """So that a crash of the exporter in between finds the stop again, by comparing."""
    rig = Rig()
    rig.feed(snapshot(facts("web")), lifecycle("stopped", "failed"))
    assert rig.notebook.domains[HERE, "uuid-web"].state == "running"
    rig.later(1.6)
    assert rig.notebook.domains[HERE, "uuid-web"].state == "shutoff"
    assert rig.notebook.pairs("callback") == [("stopped", "crashed")]


def test_missed_transition_is_counted_once_when_confirmed() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web"), facts("db")))
    settle(rig, snapshot(facts("web", "shutoff", "crashed"), facts("db")))
    assert rig.notebook.pairs("reconcile") == [("stopped", "crashed")]
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="shutoff") == 1
    settle(rig, snapshot(facts("web", "shutoff", "crashed"), facts("db")))
    assert len(rig.notebook.transitions) == 1


def test_answer_that_overtakes_its_event_is_counted_once() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", persistent=False)))
    rig.feed(look("web", None))
    rig.feed(lifecycle("stopped", "destroyed"))
    settle(rig, look("web", None))
    assert rig.notebook.pairs("callback") == [("stopped", "destroyed")]
    assert rig.notebook.pairs("reconcile") == []


@pytest.mark.parametrize("who", ["host", "guest"])
def test_shutdown_reported_before_the_start_is_kept(who: str) -> None:
    """libvirt tells of a start last: of an emulator that got SIGTERM meanwhile, too. It may take its time."""
    rig = Rig()
    rig.feed(snapshot(facts("web", "shutoff", "unknown")))
    rig.feed(lifecycle("resumed", "unpaused"), lifecycle("shutdown", who), lifecycle("started", "booted"))
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="shutdown") == 1
    settle(rig, look("web", facts("web", "shutdown", "unknown")))
    rig.feed(
        lifecycle("stopped", "shutdown"), lifecycle("resumed", "unpaused"), lifecycle("started", "booted")
    )
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="running") == 1
    assert rig.notebook.pairs("reconcile") == []


@pytest.mark.parametrize("before", [True, False], ids=["before its end is told", "after"])
def test_reported_shutdown_is_not_inferred_again(*, before: bool) -> None:
    """Nobody heard it start, so a shutdown/host may be any; then libvirt says this run is shutting down."""
    rig = Rig()
    rig.feed(snapshot(facts("web", "shutoff", "unknown")))
    rig.feed(ConnectionDown(1001.0, HERE, "lost"), ConnectionUp(1002.0, HERE))
    rig.feed(lifecycle("shutdown", "host", at=1003.0))
    if before:
        rig.feed(look("web", facts("web", "shutdown", "unknown"), at=1003.1))
    else:
        settle(rig, look("web", facts("web", "shutdown", "unknown"), at=1003.1))
    rig.feed(lifecycle("stopped", "shutdown", at=1003.2))
    assert rig.notebook.pairs("reconcile") == [("started", "unknown")]
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="quit") == 1


def test_vanished_domain_is_stopped_and_removed() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", persistent=False), facts("db", "shutoff")))
    settle(rig, snapshot())
    assert sorted(rig.notebook.pairs("reconcile")) == [("stopped", "unknown"), ("undefined", "removed")]
    changes = "libvirt_domain_inventory_changes_total"
    assert value(rig.sink, changes, change="removed", reason="shutdown") == 1
    assert value(rig.sink, changes, change="removed", reason="undefined") == 1


def test_slow_start_is_no_missed_start() -> None:
    """On a busy host libvirt answers "starting up" for seconds before it tells of the start."""
    rig = Rig()
    rig.feed(snapshot(), lifecycle("defined", "added"))
    settle(rig, look("web", facts("web", "paused", "starting_up")))
    rig.feed(lifecycle("resumed", "unpaused"), lifecycle("started", "booted"))
    settle(rig, look("web", facts("web")))
    assert rig.notebook.pairs("reconcile") == []
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="running") == 1


def test_first_listing_counts_nothing() -> None:
    rig = Rig()
    settle(rig, snapshot(facts("web"), facts("db", "crashed", "panicked")))
    assert rig.notebook.transitions == []
    assert value(rig.sink, "libvirt_domain_state", domain="db", state="crashed") == 1


def test_missed_rename_is_counted_under_both_names() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", "shutoff")))
    settle(rig, snapshot(facts("www", "shutoff", uuid="uuid-web")))
    assert value(rig.sink, EVENTS, domain="web", event="undefined", reason="renamed") == 1
    assert value(rig.sink, EVENTS, domain="www", event="defined", reason="renamed") == 1


def test_counters_continue_after_a_restart() -> None:
    before = Rig()
    before.feed(
        ConnectionUp(1000.0, HERE), snapshot(facts("web"), facts("db")), lifecycle("suspended", "paused")
    )
    before.later()
    after = Rig(restored=before.notebook.memory())
    after.now = 1012.0
    assert value(after.sink, EVENTS, domain="web", event="suspended", reason="paused") == 1
    assert value(after.sink, "libvirt_domain_state", domain="web", state="paused") == 1
    after.feed(ConnectionUp(1012.0, HERE))
    settle(after, snapshot(facts("web", "paused", "user"), facts("db", "shutoff", "crashed")))
    assert after.notebook.pairs("reconcile") == [("stopped", "crashed")]
    assert value(after.sink, "libvirt_connection_unobserved_seconds_total") == 10.0
    assert (
        value(after.sink, "libvirt_connection_lifecycle_events_total", event="suspended", reason="paused")
        == 1
    )


def test_time_without_a_connection_is_counted_as_unobserved() -> None:
    rig = Rig()
    rig.feed(
        ConnectionUp(1000.0, HERE),
        snapshot(),
        ConnectionDown(1010.0, HERE, "x"),
        ConnectionDown(1020.0, HERE, "x"),
    )
    rig.feed(ConnectionUp(1034.5, HERE))
    assert value(rig.sink, "libvirt_connection_unobserved_seconds_total") == 24.5
    assert value(rig.sink, "libvirt_connection_reconnects_total") == 1


def test_late_answer_does_not_shorten_unobserved_time() -> None:
    rig = Rig()
    rig.feed(
        ConnectionUp(1000.0, HERE), snapshot(), ConnectionDown(1001.0, HERE, "lost"), snapshot(at=1005.0)
    )
    rig.feed(ConnectionUp(1011.0, HERE))
    assert value(rig.sink, "libvirt_connection_unobserved_seconds_total", connection=HERE) == 10


def test_changed_metadata_requests_a_lookup_only() -> None:
    rig = Rig()
    rig.feed(snapshot())
    rig.feed(observation("metadata_change", 1))
    assert set(rig.asked.looks) == {"uuid-web"}
    assert names(rig.sink) == set()


def test_details_are_fetched_once_for_every_listed_domain() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web"), facts("db")))
    assert set(rig.asked.looks) == {"uuid-web", "uuid-db"}
    rig.asked.looks.clear()
    rig.feed(look("web", facts("web"), details=DomainDetails("kvm", "", None)))
    rig.feed(snapshot(facts("web"), facts("db")))
    assert set(rig.asked.looks) == {"uuid-db"}


def test_worker_is_ready_when_every_connection_is_listed() -> None:
    rig = Rig()
    assert (rig.worker.ready(), rig.worker.down()) == (False, [HERE])
    rig.feed(ConnectionUp(0.0, HERE))
    assert (rig.worker.ready(), rig.worker.down()) == (False, [])
    rig.feed(snapshot(), ConnectionDown(0.0, HERE, "gone"))
    assert (rig.worker.ready(), rig.worker.down()) == (True, [HERE])


def test_only_included_domains_are_counted_and_looked_up() -> None:
    rig = Rig(include="web.*|db", exclude=".*-test")
    wanted, unwanted = ("web", "web-1", "db"), ("web-test", "adb", "db2", "other")
    rig.feed(snapshot(*(facts(name) for name in (*wanted, *unwanted))))
    rig.feed(*(lifecycle("stopped", "crashed", name=name) for name in (*wanted, *unwanted)))
    rig.feed(*(look(name, facts(name)) for name in (*wanted, *unwanted)))
    assert names(rig.sink) == set(wanted)
    assert set(rig.asked.looks) == {f"uuid-{name}" for name in wanted}
    labels = {"event": "stopped", "reason": "crashed"}
    assert value(rig.sink, "libvirt_connection_lifecycle_events_total", **labels) == len(wanted)


def test_removed_domains_expire_in_all_components() -> None:
    rig = Rig()
    rig.feed(snapshot(), lifecycle("started", "booted"), lifecycle("stopped", "destroyed"))
    rig.now = 1899.0
    rig.worker.tick()
    assert names(rig.sink) == {"web"}
    rig.now = 1901.0
    rig.worker.tick()
    assert names(rig.sink) == set()


def test_renamed_domain_has_its_own_series() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", "shutoff")))
    rig.feed(
        lifecycle("undefined", "renamed", name="web"),
        lifecycle("defined", "renamed", name="www", uuid="uuid-web"),
    )
    assert value(rig.sink, EVENTS, domain="web", event="undefined", reason="renamed") == 1
    assert value(rig.sink, EVENTS, domain="www", event="defined", reason="renamed") == 1
    rig.now = 1e9
    rig.worker.tick()
    assert names(rig.sink) == {"www"}


def test_invalid_message_is_dropped_and_others_are_applied() -> None:
    rig = Rig()
    broken = lifecycle("stopped", "crashed")._replace(event="not a number", detail=[])  # type: ignore[arg-type]
    rig.feed(snapshot(facts("web")), broken, lifecycle("stopped", "crashed"))
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert (rig.message_queue.dropped["worker_error"], rig.asked.snapshots) == (1, 1)


def test_5000_removed_domains_are_counted() -> None:
    rig = Rig()
    many = [facts(f"vm-{number}", persistent=False) for number in range(5000)]
    rig.feed(snapshot(*many))
    for one in many:
        rig.feed(lifecycle("stopped", "destroyed", name=one.name))
    labels = {"event": "stopped", "reason": "destroyed"}
    assert value(rig.sink, "libvirt_connection_lifecycle_events_total", **labels) == 5000
    shown = samples(rig.sink)
    counted = {
        dict(has)["domain"]: n
        for (name, has), n in shown.items()
        if name == EVENTS and labels.items() <= dict(has).items()
    }
    assert sum(counted.values()) == 5000
    assert 0 < counted["_other"] < 5000
    assert (
        value(rig.sink, "libvirt_domain_inventory_changes_total", change="removed", reason="shutdown") == 5000
    )
    rig.now = 1e9
    rig.worker.tick()
    assert names(rig.sink) == {"_other"}
    assert rig.sink.series == 2


def test_free_form_details_do_not_multiply_the_series() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web")))
    before = len(samples(rig.sink))
    rig.feed(*(observation("io_error_reason", 1, word=f"word-{number}") for number in range(200)))
    raw = "libvirt_connection_raw_events_total"
    assert value(rig.sink, raw, event="io_error", detail="other") == 200
    assert len(samples(rig.sink)) - before < 10
    assert {change.detail for change in rig.notebook.transitions} == {f"word-{n}" for n in range(200)}


def test_free_form_details_of_a_journal_are_folded() -> None:
    totals = {(HERE, "raw", "io_error", f"word-{number}"): 1.0 for number in range(5)}
    rig = Rig(restored=NOTHING._replace(totals=totals))
    assert value(rig.sink, "libvirt_connection_raw_events_total", event="io_error", detail="other") == 5
