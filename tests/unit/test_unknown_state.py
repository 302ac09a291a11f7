"""The state of domains whose connection is down: unknown after the grace period, until the next listing."""

import pytest

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.rig import Rig, settle
from tests.unit.seen import HERE, facts, lifecycle, snapshot

STATE = "libvirt_domain_state"
REASON = "libvirt_domain_state_reason"
SINCE = "libvirt_domain_state_since_timestamp_seconds"


def observed(restored: SavedState | None = None) -> Rig:
    rig = Rig() if restored is None else Rig(restored=restored)
    rig.feed(
        ConnectionUp(rig.now, HERE), snapshot(facts("web"), at=rig.now, began=rig.message_queue.next_order())
    )
    return rig


def lose(rig: Rig) -> None:
    rig.feed(ConnectionDown(rig.now, HERE, "it was killed"))


def shown(rig: Rig, name: str = "web") -> list[str]:
    """The states that are set."""
    states = ("running", "paused", "shutoff", "unknown")
    return [state for state in states if value(rig.sink, STATE, domain=name, state=state)]


def test_state_is_unknown_after_the_grace_period() -> None:
    rig = observed()
    lose(rig)
    rig.later(29)
    assert shown(rig) == ["running"]
    rig.later(1)
    assert shown(rig) == ["unknown"]
    assert value(rig.sink, REASON, domain="web", state="unknown", reason="connection_down") == 1
    assert value(rig.sink, REASON, domain="web", state="running") is None
    assert value(rig.sink, SINCE, domain="web") == 1000


def test_state_is_known_again_with_the_next_listing() -> None:
    rig = observed()
    lose(rig)
    rig.later(60)
    rig.feed(ConnectionUp(rig.now, HERE))
    assert shown(rig) == ["unknown"]
    rig.feed(snapshot(facts("web"), at=rig.now, began=rig.message_queue.next_order()))
    assert shown(rig) == ["running"]
    assert value(rig.sink, SINCE, domain="web") == 1000


def test_restart_within_the_grace_period_is_hidden() -> None:
    rig = observed()
    for _ in range(3):
        lose(rig)
        rig.later(20)
        rig.feed(ConnectionUp(rig.now, HERE))
        rig.feed(snapshot(facts("web"), at=rig.now, began=rig.message_queue.next_order()))
        rig.later(20)
        assert shown(rig) == ["running"]


def test_connect_without_listing_does_not_restart_the_grace() -> None:
    rig = observed()
    for _ in range(2):
        lose(rig)
        rig.later(15)
        rig.feed(ConnectionUp(rig.now, HERE))
    rig.later(0)
    assert shown(rig) == ["unknown"]
    assert value(rig.sink, SINCE, domain="web") == 1000


def test_reconcile_compares_with_the_last_known_state() -> None:
    rig = observed()
    lose(rig)
    rig.later(60)
    rig.feed(ConnectionUp(rig.now, HERE))
    rig.feed(snapshot(facts("web"), at=rig.now, began=rig.message_queue.next_order()))
    assert rig.notebook.pairs("reconcile") == []
    lose(rig)
    rig.later(60)
    rig.feed(ConnectionUp(rig.now, HERE))
    settle(
        rig, snapshot(facts("web", "shutoff", "crashed"), at=rig.now, began=rig.message_queue.next_order())
    )
    assert rig.notebook.pairs("reconcile") == [("stopped", "crashed")]
    assert shown(rig) == ["shutoff"]


def test_unknown_keeps_incidents_counters_and_journal() -> None:
    rig = observed()
    rig.feed(lifecycle("crashed", "panicked", at=rig.now))
    rig.later(5)
    crashed = {"domain": "web", "event": "crashed", "reason": "panicked"}
    lose(rig)
    rig.later(60)
    assert shown(rig) == ["unknown"]
    assert value(rig.sink, "libvirt_domain_incident_open", domain="web", kind="crashed") == 1
    assert value(rig.sink, EVENTS, **crashed) == 1
    assert rig.notebook.domains[HERE, "uuid-web"].state == "crashed"
    assert [domain.state for domain in rig.notebook.memory().domains] == ["crashed"]


@pytest.mark.parametrize("attempts", [0, 1])
def test_restored_state_is_unknown_if_never_connected(attempts: int) -> None:
    before = observed()
    before.later()
    rig = Rig(restored=before.notebook.memory())
    for _ in range(attempts):
        lose(rig)
    rig.later(29)
    assert shown(rig) == ["running"]
    rig.later(1)
    assert shown(rig) == ["unknown"]
    assert value(rig.sink, SINCE, domain="web") == before.now


def test_domain_that_appears_while_unobserved_is_unknown() -> None:
    rig = observed()
    lose(rig)
    rig.later(30)
    rig.feed(ConnectionUp(rig.now, HERE))
    rig.feed(lifecycle("started", "booted", name="db", at=rig.now))
    assert shown(rig, "db") == ["unknown"]
