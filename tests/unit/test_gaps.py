"""The first event after a blind time: what must have happened before it is counted, and nothing else."""

import pytest

from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    DomainFacts,
    Listing,
    Observation,
)
from tests.unit.rig import Rig
from tests.unit.seen import HERE, facts, lifecycle, look, snapshot

Pair = tuple[str, str]
RUNNING = facts("web")
OFF = facts("web", "shutoff", "destroyed")._replace(domain_id=-1)


def seen(event: str, number: int = 1) -> Observation:
    return lifecycle(*event.split("/"))._replace(domain_id=number)


def rig_of(before: Listing) -> Rig:
    rig = Rig()
    rig.feed(ConnectionUp(1.0, HERE), before)
    return rig


def blink(rig: Rig) -> None:
    rig.feed(ConnectionDown(rig.now, HERE, "lost"), ConnectionUp(rig.now, HERE))


def rows(rig: Rig) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in rig.notebook.transitions]


@pytest.mark.parametrize(
    ("before", "events", "told"),
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
    before: DomainFacts, events: list[str], told: list[str]
) -> None:
    rig = rig_of(snapshot(before))
    blink(rig)
    rig.feed(*(seen(event) for event in events))
    assert rows(rig) == told


def test_other_domain_id_is_another_run() -> None:
    rig = rig_of(snapshot(RUNNING))
    blink(rig)
    rig.feed(seen("resumed/unpaused", 7), seen("started/booted", 7))
    assert rows(rig) == ["stopped/unknown", "resumed/unpaused", "started/booted"]


def test_unusual_order_without_a_gap_proves_nothing() -> None:
    rig = rig_of(snapshot(OFF))
    rig.feed(seen("stopped/destroyed"))
    assert rows(rig) == ["stopped/destroyed"]


def test_answer_ends_the_gap_for_later_events() -> None:
    rig = rig_of(snapshot(OFF))
    blink(rig)
    rig.feed(snapshot(OFF), seen("stopped/destroyed")._replace(at=1010.0))
    assert rows(rig) == ["stopped/destroyed"]


def test_answer_may_agree_by_chance_with_a_late_event() -> None:
    """It was stopped unseen; the daemon began to number anew, and what was found is the next run already."""
    rig = rig_of(snapshot(RUNNING))
    blink(rig)
    rig.feed(seen("defined/updated"), look("web", RUNNING), seen("resumed/unpaused"), seen("started/booted"))
    assert rows(rig) == ["defined/updated", "resumed/unpaused", "stopped/unknown", "started/booted"]


@pytest.mark.parametrize(
    ("found", "events"),
    [
        (facts("web")._replace(domain_id=7), ["resumed/unpaused", "started/booted"]),
        (facts("web", "paused", "user")._replace(domain_id=7), ["started/booted", "suspended/paused"]),
    ],
)
def test_answer_that_overtakes_its_event_counts_nothing(found: DomainFacts, events: list[str]) -> None:
    rig = rig_of(snapshot(RUNNING))
    blink(rig)
    rig.feed(snapshot(found), *(seen(event, 7) for event in events))
    assert rows(rig) == ["stopped/unknown", *events]


def test_answer_from_before_the_gap_does_not_end_it() -> None:
    rig = rig_of(snapshot(OFF))
    began = rig.message_queue.next_order()
    rig.message_queue.record_loss(HERE, "queue_full")
    rig.feed(look("web", OFF, began=began), seen("stopped/destroyed"))
    assert rows(rig) == ["started/unknown", "stopped/destroyed"]


def test_lost_events_are_a_gap() -> None:
    rig = rig_of(snapshot(OFF))
    rig.message_queue.record_loss(HERE, "queue_full")
    rig.feed(seen("stopped/destroyed"))
    assert rows(rig) == ["started/unknown", "stopped/destroyed"]


def test_unconfirmed_answer_gives_the_reason_of_the_stop() -> None:
    """The emulator was killed while nobody looked, and is started again before libvirt is asked twice."""
    rig = rig_of(snapshot(RUNNING))
    blink(rig)
    rig.feed(snapshot(facts("web", "shutoff", "crashed")._replace(domain_id=-1)))
    assert rows(rig) == []
    rig.feed(seen("resumed/unpaused", 2), seen("started/booted", 2))
    assert rows(rig) == ["stopped/crashed", "resumed/unpaused", "started/booted"]


def test_boot_observed_only_by_its_end_is_a_start() -> None:
    rig = rig_of(snapshot(OFF))
    rig.feed(seen("resumed/unpaused"), seen("stopped/destroyed"))
    assert rows(rig) == ["resumed/unpaused", "started/unknown", "stopped/destroyed"]


def test_stop_of_an_unknown_domain_after_a_gap_implies_a_start() -> None:
    rig = rig_of(snapshot())
    blink(rig)
    rig.feed(seen("stopped/destroyed"))
    assert rows(rig) == ["started/unknown", "stopped/destroyed"]


def test_refused_incoming_migration_leaves_no_domain() -> None:
    """libvirt 11 sends a lone shutdown/host for a migration that was refused."""
    rig = rig_of(snapshot())
    rig.feed(seen("shutdown/host"), look("web", None))
    rig.later()
    rig.feed(look("web", None))
    assert rows(rig) == ["shutdown/host"]
    assert not rig.notebook.domains[HERE, "uuid-web"].present


def test_domain_found_arriving_has_started() -> None:
    rig = rig_of(snapshot(OFF))
    arriving = facts("web", "paused", "migration")
    for _ in range(2):
        rig.feed(look("web", arriving))
        rig.later()
    rig.feed(look("web", arriving))
    assert rows(rig) == ["started/unknown"]
    rig.feed(seen("resumed/migrated"), look("web", facts("web", "running", "migrated")))
    assert rows(rig) == ["started/unknown", "resumed/migrated"]


def test_resume_before_first_listing_implies_no_start() -> None:
    rig = Rig()
    rig.feed(ConnectionUp(1.0, HERE), seen("resumed/unpaused"), snapshot(RUNNING, began=0))
    for _ in range(2):
        rig.feed(look("web", RUNNING))
        rig.later()
    assert rows(rig) == ["resumed/unpaused"]


def test_boot_before_first_listing_implies_no_stop() -> None:
    rig = Rig()
    rig.feed(ConnectionUp(1.0, HERE), seen("resumed/unpaused"), seen("started/booted"), snapshot(RUNNING))
    assert rows(rig) == ["resumed/unpaused", "started/booted"]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["suspended/paused"], ["started/booted", "suspended/paused"]),
        (["stopped/destroyed"], ["started/booted", "stopped/destroyed"]),
        (["resumed/unpaused", "started/booted"], ["resumed/unpaused", "started/booted"]),
        (["started/migrated"], ["started/migrated"]),
    ],
)
def test_unconfirmed_start_is_counted_before_the_next_event(events: list[str], told: list[str]) -> None:
    """Had the event of its start been on its way, it would have come first."""
    rig = rig_of(snapshot())
    blink(rig)
    rig.feed(snapshot(facts("web", persistent=False)), *(seen(event) for event in events))
    assert rows(rig) == told
