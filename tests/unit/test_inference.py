"""Transitions that two states prove."""

import pytest

from libvirt_lifecycle_exporter.engine.missed_transitions import (
    infer_missed,
    infer_missed_before,
    is_transient,
)
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.messages import DomainFacts
from libvirt_lifecycle_exporter.model.states import STATE_REASONS
from libvirt_lifecycle_exporter.model.vocabulary import REASONS
from tests.unit.factories import transition

Pair = tuple[str, str]


def known(
    state: str = "running", reason: str = "booted", *, persistent: bool = True, number: int = 1
) -> Domain:
    return Domain(
        "here", "u", "web", state, reason, 0.0, confirmed=True, domain_id=number, persistent=persistent
    )


def found(
    state: str = "running", reason: str = "booted", *, persistent: bool = True, number: int = 1
) -> DomainFacts:
    return DomainFacts("u", "web", number, state, reason, persistent, autostart=False)


@pytest.mark.parametrize(
    ("before", "now", "pairs"),
    [
        (known(), found(), []),
        (known(), found("running", "unpaused"), []),
        # killed emulator, guest panic and shutdown while the exporter was disconnected
        (known(), found("shutoff", "crashed", number=-1), [("stopped", "crashed")]),
        (known(), found("crashed", "panicked"), [("crashed", "panicked")]),
        (known(), found("shutoff", "shutdown", number=-1), [("stopped", "shutdown")]),
        (known(), found("shutoff", "destroyed", number=-1), [("stopped", "destroyed")]),
        (known(), found("shutoff", "migrated", number=-1), [("stopped", "migrated")]),
        (known(), found("shutoff", "saved", number=-1), [("stopped", "saved")]),
        # the daemon restarted and lost the reason
        (known(), found("shutoff", "unknown", number=-1), [("stopped", "unknown")]),
        (known(), found("shutoff", "daemon", number=-1), [("stopped", "unknown")]),
        (known("shutoff", "crashed"), found("shutoff", "unknown", number=-1), []),
        # started
        (known("shutoff", "saved"), found("running", "restored"), [("started", "restored")]),
        (known("shutoff", "destroyed"), found("running", "unpaused"), [("started", "unknown")]),
        (known("shutoff", "x"), found("paused", "user"), [("started", "unknown"), ("suspended", "paused")]),
        # another run
        (known(number=1), found(number=2), [("stopped", "unknown"), ("started", "booted")]),
        (
            known("shutoff", "shutdown"),
            found("shutoff", "destroyed"),
            [("started", "unknown"), ("stopped", "destroyed")],
        ),
        # failed start
        (known("shutoff", "shutdown"), found("shutoff", "failed"), [("stopped", "failed")]),
        (known("shutoff", "unknown"), found("shutoff", "failed"), [("stopped", "failed")]),
        # paused and resumed
        (known(), found("paused", "ioerror"), [("suspended", "ioerror")]),
        (known(), found("paused", "dump"), [("suspended", "unknown")]),
        (known("paused", "user"), found("running", "unpaused"), [("resumed", "unpaused")]),
        (known("paused", "user"), found("running", "booted"), [("resumed", "unknown")]),
        (known(), found("pmsuspended", "unknown"), [("pmsuspended", "unknown")]),
        (known("pmsuspended", "unknown"), found("running", "wakeup"), [("started", "wakeup")]),
        # appeared and disappeared
        (None, found("shutoff", "unknown"), [("defined", "added")]),
        (None, found(), [("defined", "added"), ("started", "booted")]),
        (None, found(persistent=False), [("started", "booted")]),
        (known(persistent=False), None, [("stopped", "unknown")]),
        (known("shutoff", "destroyed"), None, [("undefined", "removed")]),
        (known(), None, [("stopped", "unknown"), ("undefined", "removed")]),
        # made persistent, made transient
        (known(persistent=False), found(), [("defined", "added")]),
        (known(), found(persistent=False), [("undefined", "removed")]),
        (None, None, []),
    ],
)
def test_missed_transitions_between_two_states(
    before: Domain | None, now: DomainFacts | None, pairs: list[Pair]
) -> None:
    assert infer_missed(before, now) == pairs


def test_unconfirmed_reason_contradicts_nothing() -> None:
    likely = known("shutoff", "failed")
    likely.confirmed = False
    assert infer_missed(likely, found("shutoff", "crashed", number=-1)) == []


def test_starting_domain_is_transient() -> None:
    assert is_transient(found("paused", "starting_up"))
    assert not is_transient(found("paused", "user"))
    assert not is_transient(None)


def test_rename_is_two_transitions() -> None:
    renamed = found("shutoff", "destroyed")._replace(name="www")
    pairs = [("undefined", "renamed"), ("defined", "renamed")]
    assert infer_missed(known("shutoff", "destroyed"), renamed) == pairs


def test_removed_domain_is_missed_once() -> None:
    gone = known()
    gone.present = False
    assert infer_missed(gone, None) == []
    assert infer_missed(gone, found()) == [("defined", "added"), ("started", "booted")]


ALL_STATES = [
    (state, reason) for state, reasons in STATE_REASONS.items() for reason in (*reasons, "unknown_99")
]


@pytest.mark.parametrize(("state", "reason"), ALL_STATES)
def test_reasons_are_never_invented(state: str, reason: str) -> None:
    for before in ALL_STATES:
        for event, why in infer_missed(known(*before), found(state, reason)):
            assert why == "unknown" or why in REASONS[event]


@pytest.mark.parametrize(("state", "reason"), ALL_STATES)
def test_unchanged_state_proves_nothing(state: str, reason: str) -> None:
    assert infer_missed(known(state, reason), found(state, reason)) == []


OFF, RUNNING = known("shutoff", "destroyed", number=-1), known()
HALTED = known("paused", "user")


@pytest.mark.parametrize(
    ("before", "event", "number", "pairs"),
    [
        # off or unknown: it must have started
        (OFF, "stopped/destroyed", -1, [("started", "unknown")]),
        (OFF, "stopped/failed", -1, [("started", "unknown")]),
        (OFF, "suspended/paused", 2, [("started", "unknown")]),
        (OFF, "crashed/panicked", 2, [("started", "unknown")]),
        (OFF, "pmsuspended/memory", 2, [("started", "unknown")]),
        (OFF, "shutdown/guest", 2, [("started", "unknown")]),
        (OFF, "started/wakeup", 2, [("started", "unknown")]),
        (None, "stopped/destroyed", -1, [("started", "unknown")]),
        # a boot is reported as resumed first, and libvirt 11 sends shutdown/host for a refused migration
        (OFF, "resumed/unpaused", 2, []),
        (OFF, "started/booted", 2, []),
        (OFF, "shutdown/host", 2, []),
        (OFF, "defined/updated", -1, []),
        # running: it must have stopped
        (RUNNING, "started/booted", 2, [("stopped", "unknown")]),
        (RUNNING, "resumed/unpaused", 2, [("stopped", "unknown")]),
        # the daemon was restarted while no domain ran: ids begin at 1 again
        (RUNNING, "started/booted", 1, [("stopped", "unknown")]),
        (RUNNING, "suspended/paused", 2, [("stopped", "unknown"), ("started", "unknown")]),
        (RUNNING, "stopped/shutdown", 2, [("stopped", "unknown"), ("started", "unknown")]),
        (RUNNING, "stopped/shutdown", 1, []),
        (RUNNING, "stopped/shutdown", -1, []),
        (known("pmsuspended", "unknown"), "started/wakeup", 1, []),
        # paused: only the end of the pause is certain
        (HALTED, "suspended/ioerror", 1, [("resumed", "unknown")]),
        (HALTED, "resumed/unpaused", 1, []),
        (HALTED, "stopped/destroyed", -1, []),
        (known("paused", "postcopy"), "suspended/postcopy_failed", 1, []),
        (known("paused", "migration"), "suspended/paused", 1, []),
        (RUNNING, "resumed/unpaused", 1, []),
    ],
)
def test_missed_transitions_before_an_event(
    before: Domain | None, event: str, number: int, pairs: list[Pair]
) -> None:
    assert infer_missed_before(before, transition(*event.split("/"))._replace(domain_id=number)) == pairs


EVENT_PAIRS = [(event, reason) for event, reasons in REASONS.items() for reason in reasons]


@pytest.mark.parametrize("pair", EVENT_PAIRS)
def test_missed_events_never_have_an_invented_reason(pair: Pair) -> None:
    for before in ALL_STATES:
        for number in (-1, 1, 2):
            change = transition(*pair)._replace(domain_id=number)
            assert all(why == "unknown" for _, why in infer_missed_before(known(*before), change))


def test_booting_domain_has_started() -> None:
    booting = known("shutoff", "unknown", number=-1)
    booting.start_pending = True
    began_and_ended = [("started", "unknown"), ("stopped", "destroyed")]
    assert infer_missed(booting, found("shutoff", "destroyed", number=-1)) == began_and_ended
    booting.persistent = False
    assert infer_missed(booting, None) == [("started", "unknown"), ("stopped", "unknown")]
