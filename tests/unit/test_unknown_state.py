"""The state of domains whose connection is down: unknown after the grace period, until the next listing."""

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.factories import HERE, facts, lifecycle, listing
from tests.unit.worker_harness import WorkerHarness, confirm

STATE = "libvirt_domain_state"
REASON = "libvirt_domain_state_reason"
SINCE = "libvirt_domain_state_since_timestamp_seconds"


def observed(restored: SavedState | None = None) -> WorkerHarness:
    harness = WorkerHarness() if restored is None else WorkerHarness(restored=restored)
    harness.feed(
        ConnectionUp(harness.now, HERE),
        listing(facts("web"), at=harness.now, began=harness.message_queue.next_order()),
    )
    return harness


def lose(harness: WorkerHarness) -> None:
    harness.feed(ConnectionDown(harness.now, HERE, "it was killed"))


def shown(harness: WorkerHarness, name: str = "web") -> list[str]:
    """Return the states that are set."""
    states = ("running", "paused", "shutoff", "unknown")
    return [state for state in states if value(harness.metrics, STATE, domain=name, state=state)]


def test_state_is_unknown_after_the_grace_period() -> None:
    harness = observed()
    lose(harness)
    harness.advance(29)
    assert shown(harness) == ["running"]
    harness.advance(1)
    assert shown(harness) == ["unknown"]
    assert value(harness.metrics, REASON, domain="web", state="unknown", reason="connection_down") == 1
    assert value(harness.metrics, REASON, domain="web", state="running") is None
    assert value(harness.metrics, SINCE, domain="web") == 1000


def test_state_is_known_again_with_the_next_listing() -> None:
    harness = observed()
    lose(harness)
    harness.advance(60)
    harness.feed(ConnectionUp(harness.now, HERE))
    assert shown(harness) == ["unknown"]
    harness.feed(listing(facts("web"), at=harness.now, began=harness.message_queue.next_order()))
    assert shown(harness) == ["running"]
    assert value(harness.metrics, SINCE, domain="web") == 1000


def test_restart_within_the_grace_period_is_hidden() -> None:
    harness = observed()
    for _ in range(3):
        lose(harness)
        harness.advance(20)
        harness.feed(ConnectionUp(harness.now, HERE))
        harness.feed(listing(facts("web"), at=harness.now, began=harness.message_queue.next_order()))
        harness.advance(20)
        assert shown(harness) == ["running"]


def test_connect_without_listing_does_not_restart_the_grace() -> None:
    harness = observed()
    for _ in range(2):
        lose(harness)
        harness.advance(15)
        harness.feed(ConnectionUp(harness.now, HERE))
    harness.advance(0)
    assert shown(harness) == ["unknown"]
    assert value(harness.metrics, SINCE, domain="web") == 1000


def test_reconcile_compares_with_the_last_known_state() -> None:
    harness = observed()
    lose(harness)
    harness.advance(60)
    harness.feed(ConnectionUp(harness.now, HERE))
    harness.feed(listing(facts("web"), at=harness.now, began=harness.message_queue.next_order()))
    assert harness.journal.pairs("reconcile") == []
    lose(harness)
    harness.advance(60)
    harness.feed(ConnectionUp(harness.now, HERE))
    confirm(
        harness,
        listing(facts("web", "shutoff", "crashed"), at=harness.now, began=harness.message_queue.next_order()),
    )
    assert harness.journal.pairs("reconcile") == [("stopped", "crashed")]
    assert shown(harness) == ["shutoff"]


def test_unknown_keeps_incidents_counters_and_journal() -> None:
    harness = observed()
    harness.feed(lifecycle("crashed", "panicked", at=harness.now))
    harness.advance(5)
    crashed = {"domain": "web", "event": "crashed", "reason": "panicked"}
    lose(harness)
    harness.advance(60)
    assert shown(harness) == ["unknown"]
    assert value(harness.metrics, "libvirt_domain_incident_open", domain="web", kind="crashed") == 1
    assert value(harness.metrics, EVENTS, **crashed) == 1
    assert harness.journal.domains[HERE, "uuid-web"].state == "crashed"
    assert [domain.state for domain in harness.journal.memory().domains] == ["crashed"]


@pytest.mark.parametrize("attempts", [0, 1])
def test_restored_state_is_unknown_if_never_connected(attempts: int) -> None:
    before = observed()
    before.advance()
    harness = WorkerHarness(restored=before.journal.memory())
    for _ in range(attempts):
        lose(harness)
    harness.advance(29)
    assert shown(harness) == ["running"]
    harness.advance(1)
    assert shown(harness) == ["unknown"]
    assert value(harness.metrics, SINCE, domain="web") == before.now


def test_domain_that_appears_while_unobserved_is_unknown() -> None:
    harness = observed()
    lose(harness)
    harness.advance(30)
    harness.feed(ConnectionUp(harness.now, HERE))
    harness.feed(lifecycle("started", "booted", name="db", at=harness.now))
    assert shown(harness, "db") == ["unknown"]
