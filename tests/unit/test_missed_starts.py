"""A missed start is counted before the shutdown of its run, and the reason of the stop is kept."""

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp, Observation
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup
from tests.unit.worker_harness import WorkerHarness

RUN = 7
OFF = facts("web", "shutoff", "shutdown")._replace(domain_id=-1)
OTHER = facts("web")._replace(domain_id=RUN)
RESUMED, TERMINATED, STARTED = "resumed/unpaused", "shutdown/host", "started/booted"


def event_of(pair: str, number: int = RUN) -> Observation:
    return lifecycle(*pair.split("/"))._replace(domain_id=number)


def harness_after_outage() -> WorkerHarness:
    """The connection was lost and is back; the domain is known as off."""
    harness = WorkerHarness()
    harness.feed(ConnectionUp(1.0, HERE), listing(OFF))
    harness.feed(ConnectionDown(harness.now, HERE, "lost"), ConnectionUp(harness.now, HERE))
    return harness


def rows(harness: WorkerHarness) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in harness.journal.transitions]


def test_missed_start_goes_before_the_shutdown() -> None:
    """It was booted and paused during the outage; then it was resumed, and its emulator terminated."""
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED), event_of(TERMINATED), event_of("stopped/shutdown"))
    assert rows(harness) == [RESUMED, "started/unknown", TERMINATED, "stopped/quit"]


def test_missed_start_is_not_later_than_its_evidence() -> None:
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED)._replace(at=1000.0), event_of(TERMINATED)._replace(at=1000.5))
    harness.feed(event_of("stopped/shutdown")._replace(at=1000.9))
    assert [change.at for change in harness.journal.transitions] == [1000.0, 1000.5, 1000.5, 1000.9]


def test_all_transitions_of_the_run_have_its_id() -> None:
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED), event_of(TERMINATED), event_of("stopped/shutdown"))
    runs = {change.run_id for change in harness.journal.transitions if change.event != "resumed"}
    assert len(runs) == 1
    assert "" not in runs


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (event_of("stopped/shutdown"), "stopped/quit"),
        (event_of("stopped/destroyed"), "stopped/destroyed"),
        (event_of("stopped/destroyed", -1), "stopped/destroyed"),
    ],
    ids=["terminated", "destroyed", "destroyed-without-a-number"],
)
@pytest.mark.parametrize("before", [[], [RESUMED]], ids=["lone", "resumed"])
def test_every_stop_proves_the_start_before_the_shutdown(
    before: list[str], stop: Observation, expected: str
) -> None:
    harness = harness_after_outage()
    harness.feed(*map(event_of, before), event_of(TERMINATED), stop)
    assert rows(harness) == [*before, "started/unknown", TERMINATED, expected]


def test_guest_shutdown_in_a_boot_waits_for_the_start() -> None:
    harness = WorkerHarness()
    harness.feed(listing(OFF))
    harness.feed(event_of(RESUMED), event_of("shutdown/guest"), event_of("stopped/shutdown"))
    assert rows(harness) == [RESUMED, "started/unknown", "shutdown/guest", "stopped/shutdown"]


def test_start_after_the_shutdown_keeps_its_place() -> None:
    """An emulator terminated in its boot: libvirt reports the shutdown first."""
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED), event_of(TERMINATED), event_of(STARTED), event_of("stopped/shutdown"))
    assert rows(harness) == [RESUMED, TERMINATED, STARTED, "stopped/quit"]


def test_shutdown_without_later_events_is_counted_in_time() -> None:
    harness = harness_after_outage()
    harness.feed(event_of(TERMINATED))
    assert rows(harness) == []
    harness.advance(1.75)
    assert rows(harness) == [TERMINATED]
    assert harness.metrics.total(HERE, [("shutdown", "host")]) == 1


def test_start_proven_by_an_answer_precedes_the_shutdown() -> None:
    """The end of the emulator takes long."""
    harness = harness_after_outage()
    ending = facts("web", "shutdown", "unknown")._replace(domain_id=RUN)
    harness.feed(event_of(RESUMED), event_of(TERMINATED), lookup("web", ending))
    harness.advance(1.25)
    harness.feed(lookup("web", ending, began=harness.message_queue.next_order() + 1_000_000))
    assert rows(harness) == [RESUMED, "started/unknown", TERMINATED]
    harness.feed(event_of("stopped/shutdown"))
    assert rows(harness)[3:] == ["stopped/quit"]


def test_missed_start_is_counted_before_the_shutdown() -> None:
    """The stop is missed as well."""
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED), event_of(TERMINATED), lookup("web", OFF))
    harness.advance(1.25)
    harness.feed(lookup("web", OFF, began=harness.message_queue.next_order() + 1_000_000))
    assert rows(harness) == [RESUMED, "started/unknown", TERMINATED, "stopped/shutdown"]


def test_shutdown_of_a_known_run_is_counted_at_once() -> None:
    harness = WorkerHarness()
    harness.feed(listing(OTHER))
    harness.feed(event_of(TERMINATED))
    assert rows(harness) == [TERMINATED]


def test_state_stays_off_until_the_start_is_proven() -> None:
    """The journal is consistent: neither the start nor the shutdown is counted yet."""
    harness = harness_after_outage()
    harness.feed(event_of(RESUMED), event_of(TERMINATED))
    assert harness.journal.domains[HERE, "uuid-web"].state == "shutoff"


def test_stop_whose_shutdown_was_missed_stays_as_sent() -> None:
    """The connection was lost and opened again between the two: nothing proves who ended the emulator."""
    harness = WorkerHarness()
    harness.feed(
        ConnectionUp(1.0, HERE),
        listing(OTHER),
        ConnectionDown(harness.now, HERE, "lost"),
        ConnectionUp(harness.now, HERE),
    )
    harness.feed(event_of("stopped/shutdown"))
    assert rows(harness) == ["stopped/shutdown"]
