"""The message of a pause comes from the event right before it in the same run, and from no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.explanations import LEADS_TO, MAX_CAUSES, MAX_DELAY, explain
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.engine.translate import translate
from libvirt_lifecycle_exporter.model.text import MESSAGE_LIMIT
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALL_PAIRS,
    COUNTED_PAIRS,
    IO_ERROR_ACTIONS,
    WATCHDOG_ACTIONS,
)
from tests.unit.factories import observation, transition

FULL = "/images/web.qcow2: enospc"
PAUSE = IO_ERROR_ACTIONS.index("pause")


def io_error(message: str = FULL, action: str = "pause", at: float = 1000.0, name: str = "web") -> Transition:
    transitions = transition("io_error", "enospc", at=at, name=name)
    return transitions._replace(detail_code=IO_ERROR_ACTIONS.index(action), message=message)


def watchdog(action: str = "pause", at: float = 1000.0) -> Transition:
    transitions = transition("watchdog", action, at=at)
    return transitions._replace(detail_code=WATCHDOG_ACTIONS.index(action), message=f"its action is {action}")


def paused(why: str = "ioerror", at: float = 1000.01, name: str = "web") -> Transition:
    return transition("suspended", why, at=at, name=name)


def message(*transitions: Transition) -> str:
    """Return the message of the last transition."""
    records = Records()
    return [explained(records, change) for change in transitions][-1].message


def explained(records: Records, change: Transition) -> Transition:
    return explain(records.get(change.connection, change.uuid), change)


def test_pause_message_names_the_disk_and_the_error() -> None:
    assert message(io_error(), paused()) == FULL


def test_pause_message_names_the_watchdog() -> None:
    assert message(watchdog(), paused("watchdog")) == "its action is pause"


def test_watchdog_with_poweroff_is_the_reason_of_the_stop() -> None:
    stopped = transition("stopped", "hung", at=1000.01)
    assert message(watchdog("poweroff"), stopped) == "its action is poweroff"
    assert message(watchdog("pause"), stopped) == ""


def test_translated_events_explain_a_pause() -> None:
    error = translate(
        observation("io_error_reason", PAUSE, word="enospc")._replace(subject="/images/web.qcow2")
    )
    watchdog_event = translate(observation("watchdog", WATCHDOG_ACTIONS.index("pause")))
    assert error is not None
    assert watchdog_event is not None
    assert message(error, paused()) == FULL
    assert "watchdog" in message(watchdog_event, paused("watchdog"))


def test_each_disk_is_named_once() -> None:
    disks = [io_error(f"/images/{letter}: enospc") for letter in "abba"]
    assert set(message(*disks, paused()).split("; ")) == {"/images/a: enospc", "/images/b: enospc"}


def test_number_of_errors_in_a_message_is_bounded() -> None:
    disks = [io_error(f"/images/{number}: enospc") for number in range(1000)]
    assert message(*disks, paused()).split("; ") == [one.message for one in disks[-MAX_CAUSES:]]


def test_length_of_a_message_is_bounded() -> None:
    disks = [io_error(f"/images/{letter * 1000}: enospc") for letter in "abcd"]
    assert len(message(*disks, paused())) <= MESSAGE_LIMIT


@pytest.mark.parametrize(
    "transitions",
    [
        (paused(),),
        (watchdog(), paused()),
        (io_error(), paused("watchdog")),
        (io_error(), paused("paused")),
        (io_error(action="report"), paused()),
        (io_error(action="none"), paused()),
        (watchdog("none"), paused("watchdog")),
        (watchdog("reset"), paused("watchdog")),
        (io_error(name="db"), paused()),
        (io_error()._replace(connection="other"), paused()),
        (io_error()._replace(domain_id=2), paused()),
        (io_error(""), paused()),
        (io_error(at=1000.0), paused(at=1000.0 + MAX_DELAY + 0.1)),
        (io_error(at=1000.0), paused(at=1000.0 - MAX_DELAY - 0.1)),
        (io_error(), transition("resumed", "unpaused"), paused()),
        (io_error(), paused(), paused()),
    ],
)
def test_unrelated_event_does_not_explain_a_pause(transitions: tuple[Transition, ...]) -> None:
    assert message(*transitions) == ""


def test_late_boot_event_keeps_the_first_error() -> None:
    """Every boot sends resumed before started; a fast guest can write between the two."""
    boot = transition("started", "booted")
    assert message(transition("resumed", "unpaused"), io_error(), boot, paused()) == FULL


def test_small_backward_clock_step_is_tolerated() -> None:
    assert message(io_error(at=1000.0), paused(at=999.0)) == FULL


def test_existing_message_is_kept() -> None:
    assert message(io_error(), paused()._replace(message="its own")) == "its own"


def test_causes_of_unlisted_domains_are_bounded() -> None:
    records = Records(max_unlisted=10)
    for number in range(11):
        explained(records, io_error(name=str(number)))
    assert explained(records, paused(name="1")).message == FULL
    assert explained(records, paused(name="0")).message == ""


def test_every_cause_and_effect_is_a_known_pair() -> None:
    assert {event for event, _ in LEADS_TO} <= {event for event, _ in ALL_PAIRS}
    assert set(LEADS_TO.values()) <= set(COUNTED_PAIRS)


CHANGES = st.builds(
    lambda pair, name, at, run, code, words: transition(*pair, name=name, at=at)._replace(
        domain_id=run, detail_code=code, message=words
    ),
    st.sampled_from(COUNTED_PAIRS)
    | st.sampled_from([("io_error", "other"), ("suspended", "ioerror"), ("suspended", "watchdog")]),
    st.sampled_from(["web", "db"]),
    st.floats(0, 20),
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from(["", "a", "b", "c"]),
)


@given(st.lists(CHANGES, max_size=40))
def test_only_the_message_of_a_pause_changes(transitions: list[Transition]) -> None:
    records = Records()
    for number, change in enumerate(transitions):
        result = explained(records, change)
        assert result._replace(message=change.message) == change
        if result == change:
            continue
        assert not change.message
        assert (change.event, change.reason) in LEADS_TO.values()
        near = {
            one.message
            for one in transitions[:number]
            if (one.uuid, one.domain_id) == (change.uuid, change.domain_id)
            and LEADS_TO.get((one.event, one.detail_code)) == (change.event, change.reason)
            and abs(one.at - change.at) <= MAX_DELAY
        }
        assert set(result.message.split("; ")) <= near
