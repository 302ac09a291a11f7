"""Why a domain stopped: killed, given up, told to quit, or as it says."""

import pytest

from libvirt_lifecycle_exporter.engine import classify as module
from libvirt_lifecycle_exporter.engine.classify import VERDICT_WAIT, Classifier
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import Lookup
from tests.unit.scene import BOOT, GONE, UNPROVEN, Scene, running, see, words
from tests.unit.seen import HERE, facts, lifecycle, look, observation, order


class TestEmulatorKilled:
    """SIGKILL, SIGSEGV, out of memory: stopped/failed."""

    def test_stop_is_crashed_if_libvirt_reports_crashed(self) -> None:
        scene = running().sees("stopped/failed")
        assert scene.diagnosis.pending() == {(HERE, "uuid-web")}
        assert scene.asks(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"
        assert scene.diagnosis.pending() == frozenset()

    def test_stop_of_a_running_transient_domain_is_crashed(self) -> None:
        assert running().sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("reason", UNPROVEN)
    def test_stop_is_crashed_if_libvirt_lost_the_reason(self, reason: str) -> None:
        assert (
            running().sees("stopped/failed").asks(facts(state="shutoff", reason=reason)).last
            == "stopped/crashed"
        )

    @pytest.mark.parametrize(
        "halted", ["suspended/paused", "suspended/ioerror", "pmsuspended/memory", "crashed/panicked"]
    )
    def test_stop_is_crashed_in_every_halted_state(self, halted: str) -> None:
        assert running().sees(halted, "stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("state", ["running", "blocked", "paused", "pmsuspended", "crashed"])
    def test_stop_is_crashed_without_an_observed_start(self, state: str) -> None:
        assert Scene(state, "unknown").sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_stop_is_crashed_after_the_verdict_wait(self) -> None:
        scene = running().sees("stopped/failed").waits(VERDICT_WAIT - 0.1)
        assert scene.last == "started/booted"
        assert scene.waits().last == "stopped/crashed"

    def test_stop_is_crashed_before_the_next_start(self) -> None:
        scene = running().sees("stopped/failed", *BOOT)
        assert words(scene.told) == [*BOOT, "stopped/crashed", *BOOT]
        assert words(scene.waits().told) == [*BOOT, "stopped/crashed", *BOOT]

    def test_crashed_stop_keeps_its_time_and_detail(self) -> None:
        scene = running().sees("stopped/failed")
        stopped = scene.at
        crashed = scene.sees("resumed/unpaused", apart=1.0).told[-2]
        assert (crashed.at, crashed.detail, crashed.detail_code) == (stopped, "failed", 5)
        assert (crashed.reason, crashed.source) == ("crashed", "callback")

    def test_stop_after_a_reset_is_crashed(self) -> None:
        assert running().sees("rebooted/reset", "stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_stop_during_an_outgoing_migration_is_crashed(self) -> None:
        assert running().sees("suspended/migrated", "stopped/failed").asks(GONE).last == "stopped/crashed"
        before_our_time = Scene("running", "booted").sees("suspended/migrated", "stopped/failed")
        assert before_our_time.asks(GONE).last == "stopped/crashed"

    def test_stop_after_a_cancelled_shutdown_is_crashed(self) -> None:
        scene = running().sees("shutdown/guest", "resumed/unpaused", "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"


class TestOpenVerdict:
    def test_answer_older_than_the_stop_is_ignored(self) -> None:
        scene = running()
        began = order()
        scene.sees("stopped/failed")
        early = look("web", facts(state="shutoff", reason="failed"), began=began)
        assert scene.diagnosis.apply_lookup(early) == []
        assert scene.asks(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"

    def test_answer_about_another_domain_is_ignored(self) -> None:
        scene = running().sees("stopped/failed")
        assert scene.diagnosis.apply_lookup(look("db", GONE)) == []
        elsewhere = Lookup(order(), 1.0, "lxc:///system", "uuid-web", None, None)
        assert scene.diagnosis.apply_lookup(elsewhere) == []

    def test_answer_that_overtakes_the_next_start_proves_nothing(self) -> None:
        scene = running().sees("stopped/failed").asks(facts(state="running", reason="booted"))
        assert scene.last == "stopped/crashed"

    def test_stop_is_failed_if_libvirt_reports_failed(self) -> None:
        scene = running().sees("stopped/failed").asks(facts(state="shutoff", reason="failed"))
        assert scene.last == "stopped/failed"

    def test_stop_during_a_shutdown_is_failed(self) -> None:
        assert running().sees("shutdown/guest", "stopped/failed").asks(GONE).last == "stopped/failed"
        assert Scene("shutdown", "user").sees("stopped/failed").waits().last == "stopped/failed"

    def test_reason_stays_for_a_domain_that_never_ran(self) -> None:
        assert Scene("", "").sees("stopped/failed").waits().last == "stopped/failed"
        assert Scene().sees("stopped/failed").asks(GONE).last == "stopped/failed"

    def test_answer_decides_for_a_domain_that_never_ran(self) -> None:
        crashed = facts(state="shutoff", reason="crashed")
        assert Scene("", "").sees("stopped/failed").asks(crashed).last == "stopped/crashed"

    def test_start_after_a_stop_is_another_run(self) -> None:
        scene = Scene().sees("started/migrated", "stopped/failed", *BOOT, "stopped/failed").waits()
        assert scene.last == "stopped/crashed"
        scene = running().sees("stopped/destroyed", "stopped/failed").waits()
        assert scene.last == "stopped/failed"

    def test_second_stop_does_not_hide_the_first(self) -> None:
        scene = running().sees("stopped/failed", "stopped/failed").waits()
        assert words(scene.told) == [*BOOT, "stopped/crashed", "stopped/failed"]

    def test_stop_in_state_shutdown_is_failed(self) -> None:
        scene = running()
        scene.state = ("shutdown", "unknown")
        assert scene.sees("stopped/failed").waits().last == "stopped/failed"

    def test_other_events_do_not_end_the_verdict_wait(self) -> None:
        scene = running().sees("stopped/failed")
        assert see(scene.diagnosis, observation("agent_lifecycle"), "running", "booted") == []
        assert scene.diagnosis.pending()

    def test_clock_that_steps_back_does_not_extend_the_wait(self) -> None:
        assert running().sees("stopped/failed").waits(-3600).last == "stopped/crashed"

    def test_forgotten_run_keeps_its_open_verdict(self) -> None:
        scene = running().sees("stopped/failed")
        scene.diagnosis.forget_run(HERE, "uuid-web")
        assert scene.diagnosis.pending()
        assert scene.waits().last == "stopped/crashed"

    def test_excess_open_verdicts_are_decided_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MEMORY", 10)
        diagnosis, told = Classifier(), []
        for number in range(30):
            told += see(diagnosis, lifecycle("stopped", "failed", name=f"vm-{number}"), "running", "booted")
        assert [change.name for change in told] == [f"vm-{number}" for number in range(20)]
        assert len(diagnosis.pending()) == 10
        assert len(diagnosis.tick(2000.0)) == 10

    def test_runs_of_unlisted_domains_are_bounded(self) -> None:
        diagnosis = Classifier(Records(max_unlisted=10))
        for number in range(30):
            see(diagnosis, lifecycle("shutdown", "host", name=f"vm-{number}"), "running", "booted")
        ends = [lifecycle("stopped", "shutdown", name=f"vm-{number}") for number in (0, 29)]
        told = [change for end in ends for change in see(diagnosis, end, "shutdown", "unknown")]
        assert words(told) == ["stopped/shutdown", "stopped/quit"]


class TestShutdown:
    def test_shutdown_by_the_host_is_stopped_quit(self) -> None:
        stop = running().sees("shutdown/host", "stopped/shutdown").told[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("quit", "shutdown", 0)

    @pytest.mark.parametrize("how", ["guest", "finished"])
    def test_shutdown_by_the_guest_is_stopped_shutdown(self, how: str) -> None:
        assert running().sees(f"shutdown/{how}", "stopped/shutdown").last == "stopped/shutdown"

    def test_suspend_to_disk_is_stopped_shutdown(self) -> None:
        assert (
            running().sees("pmsuspended/disk", "shutdown/guest", "stopped/shutdown").last
            == "stopped/shutdown"
        )

    def test_shutdown_without_earlier_events_keeps_its_reason(self) -> None:
        assert Scene("running", "booted").sees("stopped/shutdown").last == "stopped/shutdown"
        assert Scene("shutdown", "unknown").sees("stopped/shutdown").last == "stopped/shutdown"

    def test_shutdown_by_the_host_ends_with_its_run(self) -> None:
        scene = running().sees("shutdown/host", "stopped/shutdown", *BOOT, "stopped/shutdown")
        assert scene.last == "stopped/shutdown"

    def test_refused_migration_does_not_affect_the_next_run(self) -> None:
        """libvirt 11.3: shutdown/host alone."""
        assert Scene("", "").sees("shutdown/host", *BOOT, "stopped/shutdown").last == "stopped/shutdown"

    def test_pause_during_shutdown_keeps_the_reason_quit(self) -> None:
        """libvirt 11.10 may send suspended/guest_shutdown between the two."""
        scene = running().sees("shutdown/host", "suspended/guest_shutdown", "stopped/shutdown")
        assert scene.last == "stopped/quit"

    @pytest.mark.parametrize("how", ["saved", "migrated", "from_snapshot", "crashed", "destroyed"])
    def test_shutdown_host_before_another_stop_is_ignored(self, how: str) -> None:
        """libvirt 11.3; 9.0 sends the stop alone."""
        assert running().sees("shutdown/host", f"stopped/{how}").last == f"stopped/{how}"
        assert running().sees(f"stopped/{how}").last == f"stopped/{how}"
