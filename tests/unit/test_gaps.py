"""The first event after a gap proves earlier missed events; only these are counted before it."""

import pytest

from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    DomainFacts,
    Listing,
    Observation,
)
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup
from tests.unit.worker_harness import WorkerHarness

Pair = tuple[str, str]
RUNNING = facts("web")
OFF = facts("web", "shutoff", "destroyed")._replace(domain_id=-1)


def event_of(event: str, number: int = 1) -> Observation:
    return lifecycle(*event.split("/"))._replace(domain_id=number)


def harness_with(before: Listing) -> WorkerHarness:
    harness = WorkerHarness()
    harness.feed(ConnectionUp(1.0, HERE), before)
    return harness


def lose_events(harness: WorkerHarness) -> None:
    harness.feed(ConnectionDown(harness.now, HERE, "lost"), ConnectionUp(harness.now, HERE))


def rows(harness: WorkerHarness) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in harness.journal.transitions]


@pytest.mark.parametrize(
    ("before", "events", "expected"),
    [
        (OFF, ["stopped/destroyed"], ["started/unknown", "stopped/destroyed"]),
        (OFF, ["suspended/paused"], ["started/unknown", "suspended/paused"]),
        (OFF, ["resumed/unpaused", "started/booted"], ["resumed/unpaused", "started/booted"]),
        (RUNNING, ["started/booted"], ["stopped/unknown", "started/booted"]),
        (RUNNING, ["stopped/destroyed"], ["stopped/destroyed"]),
        (RUNNING, ["resumed/unpaused"], ["resumed/unpaused"]),
    ],
)
def test_missed_events_are_counted_before_the_next_event(
    before: DomainFacts, events: list[str], expected: list[str]
) -> None:
    harness = harness_with(listing(before))
    lose_events(harness)
    harness.feed(*(event_of(event) for event in events))
    assert rows(harness) == expected


def test_other_domain_id_is_another_run() -> None:
    harness = harness_with(listing(RUNNING))
    lose_events(harness)
    harness.feed(event_of("resumed/unpaused", 7), event_of("started/booted", 7))
    assert rows(harness) == ["stopped/unknown", "resumed/unpaused", "started/booted"]


def test_unusual_order_without_a_gap_proves_nothing() -> None:
    harness = harness_with(listing(OFF))
    harness.feed(event_of("stopped/destroyed"))
    assert rows(harness) == ["stopped/destroyed"]


def test_answer_ends_the_gap_for_later_events() -> None:
    harness = harness_with(listing(OFF))
    lose_events(harness)
    harness.feed(listing(OFF), event_of("stopped/destroyed")._replace(at=1010.0))
    assert rows(harness) == ["stopped/destroyed"]


def test_answer_may_agree_by_chance_with_a_late_event() -> None:
    """The stop was missed, the daemon restarted its numbering, and the answer is about the next run
    already.
    """
    harness = harness_with(listing(RUNNING))
    lose_events(harness)
    harness.feed(
        event_of("defined/updated"),
        lookup("web", RUNNING),
        event_of("resumed/unpaused"),
        event_of("started/booted"),
    )
    assert rows(harness) == ["defined/updated", "resumed/unpaused", "stopped/unknown", "started/booted"]


@pytest.mark.parametrize(
    ("found", "events"),
    [
        (facts("web")._replace(domain_id=7), ["resumed/unpaused", "started/booted"]),
        (facts("web", "paused", "user")._replace(domain_id=7), ["started/booted", "suspended/paused"]),
    ],
)
def test_answer_that_overtakes_its_event_counts_nothing(found: DomainFacts, events: list[str]) -> None:
    harness = harness_with(listing(RUNNING))
    lose_events(harness)
    harness.feed(listing(found), *(event_of(event, 7) for event in events))
    assert rows(harness) == ["stopped/unknown", *events]


def test_answer_from_before_the_gap_does_not_end_it() -> None:
    harness = harness_with(listing(OFF))
    began = harness.message_queue.next_order()
    harness.message_queue.record_loss(HERE, "queue_full")
    harness.feed(lookup("web", OFF, began=began), event_of("stopped/destroyed"))
    assert rows(harness) == ["started/unknown", "stopped/destroyed"]


def test_lost_events_are_a_gap() -> None:
    harness = harness_with(listing(OFF))
    harness.message_queue.record_loss(HERE, "queue_full")
    harness.feed(event_of("stopped/destroyed"))
    assert rows(harness) == ["started/unknown", "stopped/destroyed"]


def test_unconfirmed_answer_gives_the_reason_of_the_stop() -> None:
    """The emulator was killed during the gap, and starts again before the second lookup."""
    harness = harness_with(listing(RUNNING))
    lose_events(harness)
    harness.feed(listing(facts("web", "shutoff", "crashed")._replace(domain_id=-1)))
    assert rows(harness) == []
    harness.feed(event_of("resumed/unpaused", 2), event_of("started/booted", 2))
    assert rows(harness) == ["stopped/crashed", "resumed/unpaused", "started/booted"]


def test_boot_observed_only_by_its_end_is_a_start() -> None:
    harness = harness_with(listing(OFF))
    harness.feed(event_of("resumed/unpaused"), event_of("stopped/destroyed"))
    assert rows(harness) == ["resumed/unpaused", "started/unknown", "stopped/destroyed"]


def test_stop_of_an_unknown_domain_after_a_gap_implies_a_start() -> None:
    harness = harness_with(listing())
    lose_events(harness)
    harness.feed(event_of("stopped/destroyed"))
    assert rows(harness) == ["started/unknown", "stopped/destroyed"]


def test_refused_incoming_migration_leaves_no_domain() -> None:
    """libvirt 11 sends only shutdown/host for a refused migration."""
    harness = harness_with(listing())
    harness.feed(event_of("shutdown/host"), lookup("web", None))
    harness.advance()
    harness.feed(lookup("web", None))
    assert rows(harness) == ["shutdown/host"]
    assert not harness.journal.domains[HERE, "uuid-web"].present


def test_domain_found_arriving_has_started() -> None:
    harness = harness_with(listing(OFF))
    arriving = facts("web", "paused", "migration")
    for _ in range(2):
        harness.feed(lookup("web", arriving))
        harness.advance()
    harness.feed(lookup("web", arriving))
    assert rows(harness) == ["started/unknown"]
    harness.feed(event_of("resumed/migrated"), lookup("web", facts("web", "running", "migrated")))
    assert rows(harness) == ["started/unknown", "resumed/migrated"]


def test_resume_before_first_listing_implies_no_start() -> None:
    harness = WorkerHarness()
    harness.feed(ConnectionUp(1.0, HERE), event_of("resumed/unpaused"), listing(RUNNING, began=0))
    for _ in range(2):
        harness.feed(lookup("web", RUNNING))
        harness.advance()
    assert rows(harness) == ["resumed/unpaused"]


def test_boot_before_first_listing_implies_no_stop() -> None:
    harness = WorkerHarness()
    harness.feed(
        ConnectionUp(1.0, HERE), event_of("resumed/unpaused"), event_of("started/booted"), listing(RUNNING)
    )
    assert rows(harness) == ["resumed/unpaused", "started/booted"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["suspended/paused"], ["started/booted", "suspended/paused"]),
        (["stopped/destroyed"], ["started/booted", "stopped/destroyed"]),
        (["resumed/unpaused", "started/booted"], ["resumed/unpaused", "started/booted"]),
        (["started/migrated"], ["started/migrated"]),
    ],
)
def test_unconfirmed_start_is_counted_before_the_next_event(events: list[str], expected: list[str]) -> None:
    """An event of the start would have arrived earlier."""
    harness = harness_with(listing())
    lose_events(harness)
    harness.feed(listing(facts("web", persistent=False)), *(event_of(event) for event in events))
    assert rows(harness) == expected
