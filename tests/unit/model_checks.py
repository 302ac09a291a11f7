"""Assertions that hold at the end of every run of the exporter model."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from libvirt_lifecycle_exporter.engine.classify import VERDICT_WAIT
from libvirt_lifecycle_exporter.model.states import AFTER_ANY
from tests.unit.exporter_model import counted
from tests.unit.exposition_reader import value
from tests.unit.factories import HERE

if TYPE_CHECKING:
    from libvirt_lifecycle_exporter.model.transitions import Transition
    from tests.unit.exporter_model import Channel, Exporter
    from tests.unit.hypervisor_model import Hypervisor
    from tests.unit.hypervisor_state import ModelEvent


class ModelRun(Protocol):
    """A run of the model: its parts, and what the checks need to know about their history.

    Times are Unix time in seconds of the model's clock.
    """

    exporter: Exporter
    channel: Channel
    hypervisor: Hypervisor
    known_since: dict[str, tuple[float, set[int], int]]
    """UUID -> since when the exporter knows the domain, the possible numbers of its active runs at that
    time, and the number of events of the model before that time."""
    killed_at: list[float]
    ended_at: list[float]
    """When the exporter ended, killed or not."""
    lost_with: set[float]
    """Callback times of the observations that were in the queue when the exporter was killed."""
    unobserved_min: float
    """Lower limit of the unobserved time in seconds."""
    unobserved_max: float
    """Upper limit of the unobserved time in seconds."""


def check_counts(run: ModelRun) -> None:
    """Check that metrics, counters of the journal and transitions of the journal are equal."""
    exporter = run.exporter
    rows = exporter.rows()
    history = counted(rows)
    memory = exporter.saved_state()
    shown, totals = exporter.metrics.counted()
    assert {key: n for key, (n, _) in shown.items() if key[2] != "incident"} == history
    assert {key: n for key, (n, _) in memory.counts.items() if key[2] != "incident"} == history
    events = Counter((row.event, row.reason) for row in rows)
    assert {key[2:]: n for key, n in totals.items() if key[1] == "event"} == events
    assert {key: n for key, n in totals.items() if key[1] != "unobserved"} == {
        key: n for key, n in memory.totals.items() if key[1] != "unobserved"
    }
    is_open = [one[:2] for one in exporter.incidents() if one[2]]
    assert len(is_open) == len(set(is_open)), "open twice"
    incidents = Counter(kind for _, kind, _ in exporter.incidents())
    reported: Counter[str] = Counter()
    for key, (n, _) in shown.items():
        if key[2] == "incident":
            reported[key[3]] += n
    assert reported == incidents
    unobserved = totals.get((HERE, "unobserved", "", ""), 0.0)
    assert run.unobserved_min - 0.1 <= unobserved <= run.unobserved_max + 0.1, "unobserved time"


def check_history(run: ModelRun) -> None:
    rows = run.exporter.rows()
    delivered = run.channel.delivered
    observed = [row for row in rows if row.source == "callback"]
    _check_observed(run, observed)
    missed = list(run.hypervisor.events)
    for row in observed:
        missed.remove(delivered[row.at])
    inferred = [row for row in rows if row.source != "callback"]
    _check_inferred(inferred, missed)
    if not run.channel.lost and not run.lost_with and not run.killed_at:
        _check_complete(run, rows, missed)
    for uuid in run.hypervisor.guests:
        _check_balance(run, uuid, rows)
        _check_order(run, [row for row in rows if row.uuid == uuid])
        _check_final_state(run, uuid)
        _check_incidents(run, uuid)


def _check_observed(run: ModelRun, observed: list[Transition]) -> None:
    delivered = run.channel.delivered
    for row in observed:
        event = delivered[row.at]
        assert (row.uuid, row.name, row.event, row.detail) == event[1:3] + event[4:6]
    assert len({row.at for row in observed}) == len(observed), "journalled twice"
    there = {row.at for row in observed}
    for at, event in delivered.items():
        if at in there or at in run.lost_with or event.event == "rebooted":
            continue
        # Both may wait for their evidence.
        waits = event.event == "shutdown" or event.detail == "failed"
        assert waits, f"lost: {event}"
        assert any(at <= killed < at + 2.0 for killed in run.killed_at), f"lost: {event}"


def _check_inferred(inferred: list[Transition], missed: list[ModelEvent]) -> None:
    """Check that each inferred row has its own earlier event that was not observed."""

    def fits(row: Transition, event: ModelEvent) -> bool:
        return (
            (row.uuid, row.event) == (event.uuid, event.event)
            and event.at <= row.at
            and row.reason in (event.provable, "unknown")
        )

    taken: dict[int, int] = {}

    def place(number: int, tried: set[int]) -> bool:
        for place_, event in enumerate(missed):
            if place_ not in tried and fits(inferred[number], event):
                tried.add(place_)
                if place_ not in taken or place(taken[place_], tried):
                    taken[place_] = number
                    return True
        return False

    for number, row in enumerate(inferred):
        assert place(number, set()), f"invented: {row}"


def _check_complete(run: ModelRun, rows: list[Transition], missed: list[ModelEvent]) -> None:
    left = [one for one in missed if one.event != "rebooted" and one.detail != "failed"]
    assert left == [], "not observed"
    for row in rows:
        if row.source == "callback":
            assert row.reason == run.channel.delivered[row.at].verdict, "another verdict"
        else:
            assert (row.event, row.reason) == ("stopped", "failed"), "inferred what was observed"


_STEPS = {"started": 1, "stopped": -1}


def step(event: str, reason: str) -> int:
    return 0 if reason in ("wakeup", "failed") else _STEPS.get(event, 0)


def _check_balance(run: ModelRun, uuid: str, rows: list[Transition]) -> None:
    """Check that starts and stops alternate, whatever was missed."""
    since, running, most = run.known_since[uuid]
    reported = sum(step(row.event, row.reason) for row in rows if row.uuid == uuid and row.at >= since)
    before = set(run.hypervisor.events[:most])
    for at, one in run.channel.delivered.items():
        # Its result was in the answer before the event was delivered.
        reported -= step(one.event, one.verdict) if one.uuid == uuid and at >= since and one in before else 0
    guest = run.hypervisor.guests[uuid]
    assert int(guest.active()) - reported in running, f"balance of {uuid}"


def _check_order(run: ModelRun, rows: list[Transition]) -> None:
    """Check that a missed start precedes the shutdown of its run while the shutdown waits."""
    relevant = [row for row in rows if row.event in AFTER_ANY]
    for before, row in pairwise(relevant):
        is_missed = (before.source, row.source) == ("callback", "reconcile")
        is_same_run = before.domain_id == row.domain_id
        if (before.event, row.event) == ("shutdown", "started") and is_missed and is_same_run:
            ended = any(before.at <= at <= row.at for at in run.ended_at)
            assert ended or row.at - before.at >= VERDICT_WAIT, f"after the shutdown: {row}"


def _check_final_state(run: ModelRun, uuid: str) -> None:
    guest = run.hypervisor.guests[uuid]
    known = {one.uuid: one for one in run.exporter.saved_state().domains if one.present}
    assert (uuid in known) == guest.exists, f"{uuid}"
    if not guest.exists:
        is_open = [kind for owner, kind, is_open in run.exporter.incidents() if owner == uuid and is_open]
        assert is_open == [], f"incidents of {uuid}, which does not exist"
        return
    one = known[uuid]
    assert (one.name, one.state, one.reason, one.persistent, one.domain_id) == (
        guest.name,
        guest.state,
        guest.reason,
        guest.persistent,
        guest.number,
    )
    page = value(run.exporter.metrics, "libvirt_domain_state", domain=guest.name, state=guest.state)
    assert page == 1


def _check_incidents(run: ModelRun, uuid: str) -> None:
    guest = run.hypervisor.guests[uuid]
    opened = Counter(kind for owner, kind, _ in run.exporter.incidents() if owner == uuid)
    # A stop of an unobserved run without further evidence keeps libvirt's reason: failed.
    delivered = run.channel.delivered
    unexplained = [
        row
        for row in run.exporter.rows()
        if (row.uuid, row.event, row.reason) == (uuid, "stopped", "failed")
        and row.at in delivered
        and delivered[row.at].verdict == "crashed"
    ]
    causes = guest.causes + Counter(failed=len(unexplained))
    for kind, times in opened.items():
        assert times <= causes[kind], f"incidents of {uuid}: {kind}"
    if not run.channel.lost and not run.killed_at:
        for kind in ("crashed", "io_error"):
            assert opened[kind] == guest.incidents[kind], f"incidents of {uuid}: {kind}"
