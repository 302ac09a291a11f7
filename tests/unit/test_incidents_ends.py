"""What closes an incident, what does not, and what is another one."""

import pytest

from libvirt_lifecycle_exporter.engine.incidents import Incidents
from tests.unit.account import BOOT, Account, account, happened
from tests.unit.hang_state import set_hung
from tests.unit.seen import HERE


def test_next_crash_is_another_incident() -> None:
    told = account("stopped/crashed", *BOOT, "stopped/crashed", *BOOT)
    assert told.kinds == ["crashed", "crashed"]
    assert told.opened[0].id != told.opened[1].id
    assert len(told.closed) == 2


def test_incident_of_a_stopped_domain_stays_open() -> None:
    assert account("crashed/panicked", "stopped/destroyed", "rebooted/reset").still_open == ["crashed"]


def test_failed_start_after_a_crash_is_another_incident() -> None:
    told = account("stopped/crashed", "stopped/failed", *BOOT)
    assert told.kinds == ["crashed", "failed"]
    assert sorted(one.kind for one in told.closed) == ["crashed", "failed"]


def test_crash_after_an_io_error_is_another_incident() -> None:
    told = account("suspended/ioerror", "stopped/crashed")
    assert told.kinds == ["io_error", "crashed"]
    assert told.ids == [one.id for one in told.opened]


@pytest.mark.parametrize("evidence", ["hung/guest_agent", "watchdog/poweroff", "suspended/watchdog"])
def test_panicked_guest_opens_no_hang_incident(evidence: str) -> None:
    told = account("crashed/panicked", evidence)
    assert told.kinds == ["crashed"]
    assert told.ids[0] == told.ids[1]


def test_agent_hang_does_not_hide_a_crash() -> None:
    assert account("hung/guest_agent", "stopped/crashed").kinds == ["hung", "crashed"]


def test_pause_and_resume_does_not_close_a_hang() -> None:
    told = account("hung/vcpu", "suspended/paused", "resumed/unpaused")
    assert told.still_open == ["hung"]
    assert told.takes("recovered/vcpu").still_open == []


def test_hang_closes_when_all_signals_have_recovered() -> None:
    told = account("hung/vcpu", "hung/guest_agent", "recovered/vcpu")
    assert told.still_open == ["hung"]
    assert told.takes("recovered/guest_agent").still_open == []


def test_recovery_closes_only_hang_incidents() -> None:
    assert account("stopped/failed", "recovered/vcpu").still_open == ["failed"]


def test_removed_domain_has_no_open_incidents() -> None:
    told = account("suspended/ioerror", "hung/vcpu", "stopped/crashed").is_removed()
    assert sorted(one.kind for one in told.closed) == ["crashed", "hung", "io_error"]
    assert {one.closed_at for one in told.closed} == {told.at}
    assert told.is_removed().still_open == []
    assert len(told.closed) == 3


def test_hang_of_a_removed_domain_is_forgotten() -> None:
    told = account("hung/vcpu").is_removed().takes("suspended/watchdog", "resumed/unpaused")
    assert told.kinds == ["hung", "hung"]
    assert told.still_open == []


def test_incident_never_closes_before_it_was_opened() -> None:
    incidents = Incidents()
    incidents.apply(happened("stopped/crashed", at=5000.0))
    assert [one.closed_at for one in incidents.apply(happened("started/booted", at=1000.0))[1]] == [5000.0]


def test_incidents_of_domains_are_independent() -> None:
    incidents = Incidents()
    incidents.apply(happened("stopped/crashed", name="web"))
    assert incidents.apply(happened("started/booted", name="db")) == ("", [])
    assert incidents.apply(happened("stopped/crashed")._replace(connection="lxc:///system"))[1]
    assert len(incidents.open()) == 2


class TestRestart:
    """The exporter ends, and begins again with what was open."""

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
        first = account(*before)
        signals = [reason for event, _, reason in (what.partition("/") for what in before) if event == "hung"]
        again = Account()
        again.at = first.at
        again.incidents.restore(first.incidents.open())
        set_hung(again.records, "uuid-web", *signals, connection=HERE)
        assert again.incidents.open() == first.incidents.open()
        again.takes(*after)
        assert again.opened == []
        assert [one.kind for one in again.closed] == [kind]
        assert [one.id for one in again.closed] == [first.opened[0].id]

    def test_closed_incidents_are_not_restored(self) -> None:
        closed = account("stopped/crashed", *BOOT).closed
        incidents = Incidents()
        incidents.restore(closed)
        assert incidents.open() == []
