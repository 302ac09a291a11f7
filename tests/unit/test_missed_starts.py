"""A start that was missed goes before the shutdown of its run, and the reason of the stop survives."""

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp, Observation
from tests.unit.rig import Rig
from tests.unit.seen import HERE, facts, lifecycle, look, snapshot

RUN = 7
OFF = facts("web", "shutoff", "shutdown")._replace(domain_id=-1)
OTHER = facts("web")._replace(domain_id=RUN)
RESUMED, TERMINATED, STARTED = "resumed/unpaused", "shutdown/host", "started/booted"


def seen(pair: str, number: int = RUN) -> Observation:
    return lifecycle(*pair.split("/"))._replace(domain_id=number)


def restarted() -> Rig:
    """The exporter was away; it knows the domain as off."""
    rig = Rig()
    rig.feed(ConnectionUp(1.0, HERE), snapshot(OFF))
    rig.feed(ConnectionDown(rig.now, HERE, "lost"), ConnectionUp(rig.now, HERE))
    return rig


def rows(rig: Rig) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in rig.notebook.transitions]


def test_missed_start_goes_before_the_shutdown() -> None:
    """It booted and was paused unseen; then it was resumed, and its emulator terminated."""
    rig = restarted()
    rig.feed(seen(RESUMED), seen(TERMINATED), seen("stopped/shutdown"))
    assert rows(rig) == [RESUMED, "started/unknown", TERMINATED, "stopped/quit"]


def test_missed_start_is_not_later_than_its_evidence() -> None:
    rig = restarted()
    rig.feed(seen(RESUMED)._replace(at=1000.0), seen(TERMINATED)._replace(at=1000.5))
    rig.feed(seen("stopped/shutdown")._replace(at=1000.9))
    assert [change.at for change in rig.notebook.transitions] == [1000.0, 1000.5, 1000.5, 1000.9]


def test_all_transitions_of_the_run_have_its_id() -> None:
    rig = restarted()
    rig.feed(seen(RESUMED), seen(TERMINATED), seen("stopped/shutdown"))
    runs = {change.run_id for change in rig.notebook.transitions if change.event != "resumed"}
    assert len(runs) == 1
    assert "" not in runs


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (seen("stopped/shutdown"), "stopped/quit"),
        (seen("stopped/destroyed"), "stopped/destroyed"),
        (seen("stopped/destroyed", -1), "stopped/destroyed"),
    ],
    ids=["terminated", "destroyed", "destroyed-without-a-number"],
)
@pytest.mark.parametrize("before", [[], [RESUMED]], ids=["lone", "resumed"])
def test_every_stop_proves_the_start_before_the_shutdown(
    before: list[str], stop: Observation, told: str
) -> None:
    rig = restarted()
    rig.feed(*map(seen, before), seen(TERMINATED), stop)
    assert rows(rig) == [*before, "started/unknown", TERMINATED, told]


def test_guest_shutdown_in_a_boot_waits_for_the_start() -> None:
    rig = Rig()
    rig.feed(snapshot(OFF))
    rig.feed(seen(RESUMED), seen("shutdown/guest"), seen("stopped/shutdown"))
    assert rows(rig) == [RESUMED, "started/unknown", "shutdown/guest", "stopped/shutdown"]


def test_start_after_the_shutdown_keeps_its_place() -> None:
    """An emulator terminated in its boot: libvirt reports the shutdown first."""
    rig = restarted()
    rig.feed(seen(RESUMED), seen(TERMINATED), seen(STARTED), seen("stopped/shutdown"))
    assert rows(rig) == [RESUMED, TERMINATED, STARTED, "stopped/quit"]


def test_shutdown_without_later_events_is_counted_in_time() -> None:
    rig = restarted()
    rig.feed(seen(TERMINATED))
    assert rows(rig) == []
    rig.later(1.75)
    assert rows(rig) == [TERMINATED]
    assert rig.sink.total(HERE, [("shutdown", "host")]) == 1


def test_start_proven_by_an_answer_precedes_the_shutdown() -> None:
    """The emulator takes long to end."""
    rig = restarted()
    ending = facts("web", "shutdown", "unknown")._replace(domain_id=RUN)
    rig.feed(seen(RESUMED), seen(TERMINATED), look("web", ending))
    rig.later(1.25)
    rig.feed(look("web", ending, began=rig.message_queue.next_order() + 1_000_000))
    assert rows(rig) == [RESUMED, "started/unknown", TERMINATED]
    rig.feed(seen("stopped/shutdown"))
    assert rows(rig)[3:] == ["stopped/quit"]


def test_missed_start_is_counted_before_the_shutdown() -> None:
    """The stop is missed as well."""
    rig = restarted()
    rig.feed(seen(RESUMED), seen(TERMINATED), look("web", OFF))
    rig.later(1.25)
    rig.feed(look("web", OFF, began=rig.message_queue.next_order() + 1_000_000))
    assert rows(rig) == [RESUMED, "started/unknown", TERMINATED, "stopped/shutdown"]


def test_shutdown_of_a_known_run_is_counted_at_once() -> None:
    rig = Rig()
    rig.feed(snapshot(OTHER))
    rig.feed(seen(TERMINATED))
    assert rows(rig) == [TERMINATED]


def test_state_stays_off_until_the_start_is_proven() -> None:
    """What is written fits together: neither the start nor the shutdown is counted yet."""
    rig = restarted()
    rig.feed(seen(RESUMED), seen(TERMINATED))
    assert rig.notebook.domains[HERE, "uuid-web"].state == "shutoff"


def test_stop_whose_shutdown_was_missed_stays_as_sent() -> None:
    """The connection was lost, and open again, between the two: nothing tells who ended the emulator."""
    rig = Rig()
    rig.feed(
        ConnectionUp(1.0, HERE),
        snapshot(OTHER),
        ConnectionDown(rig.now, HERE, "lost"),
        ConnectionUp(rig.now, HERE),
    )
    rig.feed(seen("stopped/shutdown"))
    assert rows(rig) == ["stopped/shutdown"]
