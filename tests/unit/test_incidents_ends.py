"""Transitions that close an incident, that do not, and that open another one."""

import pytest

from tests.unit.factories import HERE
from tests.unit.hang_state import set_hung
from tests.unit.incident_recorder import BOOT, IncidentRecorder, make_transition, record
from tests.unit.recorded_incidents import RecordedIncidents


def test_next_crash_is_another_incident() -> None:
    recorder = record("stopped/crashed", *BOOT, "stopped/crashed", *BOOT)
    assert recorder.kinds == ["crashed", "crashed"]
    assert recorder.opened[0].id != recorder.opened[1].id
    assert len(recorder.closed) == 2


def test_incident_of_a_stopped_domain_stays_open() -> None:
    assert record("crashed/panicked", "stopped/destroyed", "rebooted/reset").still_open == ["crashed"]


def test_failed_start_after_a_crash_is_another_incident() -> None:
    recorder = record("stopped/crashed", "stopped/failed", *BOOT)
    assert recorder.kinds == ["crashed", "failed"]
    assert sorted(one.kind for one in recorder.closed) == ["crashed", "failed"]


def test_crash_after_an_io_error_is_another_incident() -> None:
    recorder = record("suspended/ioerror", "stopped/crashed")
    assert recorder.kinds == ["io_error", "crashed"]
    assert recorder.ids == [one.id for one in recorder.opened]


@pytest.mark.parametrize("evidence", ["hung/guest_agent", "watchdog/poweroff", "suspended/watchdog"])
def test_panicked_guest_opens_no_hang_incident(evidence: str) -> None:
    recorder = record("crashed/panicked", evidence)
    assert recorder.kinds == ["crashed"]
    assert recorder.ids[0] == recorder.ids[1]


def test_agent_hang_does_not_hide_a_crash() -> None:
    assert record("hung/guest_agent", "stopped/crashed").kinds == ["hung", "crashed"]


def test_pause_and_resume_does_not_close_a_hang() -> None:
    recorder = record("hung/vcpu", "suspended/paused", "resumed/unpaused")
    assert recorder.still_open == ["hung"]
    assert recorder.apply("recovered/vcpu").still_open == []


def test_hang_closes_when_all_signals_have_recovered() -> None:
    recorder = record("hung/vcpu", "hung/guest_agent", "recovered/vcpu")
    assert recorder.still_open == ["hung"]
    assert recorder.apply("recovered/guest_agent").still_open == []


def test_recovery_closes_only_hang_incidents() -> None:
    assert record("stopped/failed", "recovered/vcpu").still_open == ["failed"]


def test_removed_domain_has_no_open_incidents() -> None:
    recorder = record("suspended/ioerror", "hung/vcpu", "stopped/crashed").remove()
    assert sorted(one.kind for one in recorder.closed) == ["crashed", "hung", "io_error"]
    assert {one.closed_at for one in recorder.closed} == {recorder.at}
    assert recorder.remove().still_open == []
    assert len(recorder.closed) == 3


def test_hang_of_a_removed_domain_is_forgotten() -> None:
    recorder = record("hung/vcpu").remove().apply("suspended/watchdog", "resumed/unpaused")
    assert recorder.kinds == ["hung", "hung"]
    assert recorder.still_open == []


def test_incident_never_closes_before_it_was_opened() -> None:
    incidents = RecordedIncidents()
    incidents.apply(make_transition("stopped/crashed", at=5000.0))
    assert [one.closed_at for one in incidents.apply(make_transition("started/booted", at=1000.0))[1]] == [
        5000.0
    ]


def test_incidents_of_domains_are_independent() -> None:
    incidents = RecordedIncidents()
    incidents.apply(make_transition("stopped/crashed", name="web"))
    assert incidents.apply(make_transition("started/booted", name="db")) == ("", [])
    assert incidents.apply(make_transition("stopped/crashed")._replace(connection="lxc:///system"))[1]
    assert len(incidents.open()) == 2


class TestRestart:
    """Restart of the exporter with open incidents."""

    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            (("crashed/panicked",), ("stopped/crashed", *BOOT), "crashed"),
            (("crashed/crashloaded",), ("rebooted/reset",), "crashed"),
            (("hung/vcpu",), ("resumed/unpaused", "hung/vcpu", "recovered/vcpu"), "hung"),
            (("hung/emulator",), ("stopped/crashed", *BOOT), "hung"),
            (("suspended/ioerror",), ("resumed/unpaused",), "io_error"),
        ],
    )
    def test_restored_incident_closes_as_before(
        self, before: tuple[str, ...], after: tuple[str, ...], kind: str
    ) -> None:
        first = record(*before)
        signals = [reason for event, _, reason in (what.partition("/") for what in before) if event == "hung"]
        again = IncidentRecorder()
        again.at = first.at
        again.incidents.restore(first.incidents.open())
        set_hung(again.records, "uuid-web", *signals, connection=HERE)
        assert again.incidents.open() == first.incidents.open()
        again.apply(*after)
        assert again.opened == []
        assert [one.kind for one in again.closed] == [kind]
        assert [one.id for one in again.closed] == [first.opened[0].id]

    def test_closed_incidents_are_not_restored(self) -> None:
        closed = record("stopped/crashed", *BOOT).closed
        incidents = RecordedIncidents()
        incidents.restore(closed)
        assert incidents.open() == []
