"""Reasons of stops: killed emulators, failed runs, shutdowns by guest and host."""

import pytest

from libvirt_lifecycle_exporter.engine import classify as module
from libvirt_lifecycle_exporter.engine.classify import VERDICT_WAIT
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import Lookup
from tests.unit.classifier_scenario import (
    BOOT,
    GONE,
    UNPROVEN,
    ClassifierScenario,
    RecordedClassifier,
    classify,
    pair_names,
    running,
)
from tests.unit.factories import HERE, facts, lifecycle, lookup, observation, order


class TestEmulatorKilled:
    """SIGKILL, SIGSEGV or the OOM killer: libvirt sends stopped/failed."""

    def test_stop_is_crashed_if_libvirt_reports_crashed(self) -> None:
        scenario = running().observe("stopped/failed")
        assert scenario.classifier.pending() == {(HERE, "uuid-web")}
        assert scenario.answer(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"
        assert scenario.classifier.pending() == frozenset()

    def test_stop_of_a_running_transient_domain_is_crashed(self) -> None:
        assert running().observe("stopped/failed").answer(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("reason", UNPROVEN)
    def test_stop_is_crashed_if_libvirt_lost_the_reason(self, reason: str) -> None:
        assert (
            running().observe("stopped/failed").answer(facts(state="shutoff", reason=reason)).last
            == "stopped/crashed"
        )

    @pytest.mark.parametrize(
        "halted", ["suspended/paused", "suspended/ioerror", "pmsuspended/memory", "crashed/panicked"]
    )
    def test_stop_is_crashed_in_every_halted_state(self, halted: str) -> None:
        assert running().observe(halted, "stopped/failed").answer(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("state", ["running", "blocked", "paused", "pmsuspended", "crashed"])
    def test_stop_is_crashed_without_an_observed_start(self, state: str) -> None:
        assert (
            ClassifierScenario(state, "unknown").observe("stopped/failed").answer(GONE).last
            == "stopped/crashed"
        )

    def test_stop_is_crashed_after_the_verdict_wait(self) -> None:
        scenario = running().observe("stopped/failed").wait(VERDICT_WAIT - 0.1)
        assert scenario.last == "started/booted"
        assert scenario.wait().last == "stopped/crashed"

    def test_stop_is_crashed_before_the_next_start(self) -> None:
        scenario = running().observe("stopped/failed", *BOOT)
        assert pair_names(scenario.transitions) == [*BOOT, "stopped/crashed", *BOOT]
        assert pair_names(scenario.wait().transitions) == [*BOOT, "stopped/crashed", *BOOT]

    def test_crashed_stop_keeps_its_time_and_detail(self) -> None:
        scenario = running().observe("stopped/failed")
        stopped = scenario.at
        crashed = scenario.observe("resumed/unpaused", interval=1.0).transitions[-2]
        assert (crashed.at, crashed.detail, crashed.detail_code) == (stopped, "failed", 5)
        assert (crashed.reason, crashed.source) == ("crashed", "callback")

    def test_stop_after_a_reset_is_crashed(self) -> None:
        assert running().observe("rebooted/reset", "stopped/failed").answer(GONE).last == "stopped/crashed"

    def test_stop_during_an_outgoing_migration_is_crashed(self) -> None:
        assert (
            running().observe("suspended/migrated", "stopped/failed").answer(GONE).last == "stopped/crashed"
        )
        before_our_time = ClassifierScenario("running", "booted").observe(
            "suspended/migrated", "stopped/failed"
        )
        assert before_our_time.answer(GONE).last == "stopped/crashed"

    def test_stop_after_a_cancelled_shutdown_is_crashed(self) -> None:
        scenario = running().observe("shutdown/guest", "resumed/unpaused", "stopped/failed")
        assert scenario.answer(GONE).last == "stopped/crashed"


class TestOpenVerdict:
    def test_answer_older_than_the_stop_is_ignored(self) -> None:
        scenario = running()
        began = order()
        scenario.observe("stopped/failed")
        early = lookup("web", facts(state="shutoff", reason="failed"), began=began)
        assert scenario.apply_lookup(early) == []
        assert scenario.answer(facts(state="shutoff", reason="crashed")).last == "stopped/crashed"

    def test_answer_about_another_domain_is_ignored(self) -> None:
        scenario = running().observe("stopped/failed")
        assert scenario.apply_lookup(lookup("db", GONE)) == []
        elsewhere = Lookup(order(), 1.0, "lxc:///system", "uuid-web", None, None)
        assert scenario.apply_lookup(elsewhere) == []

    def test_answer_that_overtakes_the_next_start_proves_nothing(self) -> None:
        scenario = running().observe("stopped/failed").answer(facts(state="running", reason="booted"))
        assert scenario.last == "stopped/crashed"

    def test_stop_is_failed_if_libvirt_reports_failed(self) -> None:
        scenario = running().observe("stopped/failed").answer(facts(state="shutoff", reason="failed"))
        assert scenario.last == "stopped/failed"

    def test_stop_during_a_shutdown_is_failed(self) -> None:
        assert running().observe("shutdown/guest", "stopped/failed").answer(GONE).last == "stopped/failed"
        assert (
            ClassifierScenario("shutdown", "user").observe("stopped/failed").wait().last == "stopped/failed"
        )

    def test_reason_stays_for_a_domain_that_never_ran(self) -> None:
        assert ClassifierScenario("", "").observe("stopped/failed").wait().last == "stopped/failed"
        assert ClassifierScenario().observe("stopped/failed").answer(GONE).last == "stopped/failed"

    def test_answer_decides_for_a_domain_that_never_ran(self) -> None:
        crashed = facts(state="shutoff", reason="crashed")
        assert ClassifierScenario("", "").observe("stopped/failed").answer(crashed).last == "stopped/crashed"

    def test_start_after_a_stop_is_another_run(self) -> None:
        scenario = (
            ClassifierScenario().observe("started/migrated", "stopped/failed", *BOOT, "stopped/failed").wait()
        )
        assert scenario.last == "stopped/crashed"
        scenario = running().observe("stopped/destroyed", "stopped/failed").wait()
        assert scenario.last == "stopped/failed"

    def test_second_stop_does_not_hide_the_first(self) -> None:
        scenario = running().observe("stopped/failed", "stopped/failed").wait()
        assert pair_names(scenario.transitions) == [*BOOT, "stopped/crashed", "stopped/failed"]

    def test_stop_in_state_shutdown_is_failed(self) -> None:
        scenario = running()
        scenario.state = ("shutdown", "unknown")
        assert scenario.observe("stopped/failed").wait().last == "stopped/failed"

    def test_other_events_do_not_end_the_verdict_wait(self) -> None:
        scenario = running().observe("stopped/failed")
        assert classify(scenario.classifier, observation("agent_lifecycle"), "running", "booted") == []
        assert scenario.classifier.pending()

    def test_clock_that_steps_back_does_not_extend_the_wait(self) -> None:
        assert running().observe("stopped/failed").wait(-3600).last == "stopped/crashed"

    def test_forgotten_run_keeps_its_open_verdict(self) -> None:
        scenario = running().observe("stopped/failed")
        scenario.classifier.forget_run(scenario.records.get(HERE, "uuid-web"))
        assert scenario.classifier.pending()
        assert scenario.wait().last == "stopped/crashed"

    def test_excess_open_verdicts_are_decided_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_OPEN_VERDICTS", 10)
        classifier, transitions = RecordedClassifier(), []
        for number in range(30):
            transitions += classify(
                classifier, lifecycle("stopped", "failed", name=f"vm-{number}"), "running", "booted"
            )
        transitions += classifier.tick(1000.0)
        assert [change.name for change in transitions] == [f"vm-{number}" for number in range(20)]
        assert len(classifier.pending()) == 10
        assert len(classifier.tick(2000.0)) == 10

    def test_runs_of_unlisted_domains_are_bounded(self) -> None:
        classifier = RecordedClassifier(Records(max_unlisted=10))
        for number in range(30):
            classify(classifier, lifecycle("shutdown", "host", name=f"vm-{number}"), "running", "booted")
        ends = [lifecycle("stopped", "shutdown", name=f"vm-{number}") for number in (0, 29)]
        transitions = [change for end in ends for change in classify(classifier, end, "shutdown", "unknown")]
        assert pair_names(transitions) == ["stopped/shutdown", "stopped/quit"]


class TestShutdown:
    def test_shutdown_by_the_host_is_stopped_quit(self) -> None:
        stop = running().observe("shutdown/host", "stopped/shutdown").transitions[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("quit", "shutdown", 0)

    @pytest.mark.parametrize("how", ["guest", "finished"])
    def test_shutdown_by_the_guest_is_stopped_shutdown(self, how: str) -> None:
        assert running().observe(f"shutdown/{how}", "stopped/shutdown").last == "stopped/shutdown"

    def test_suspend_to_disk_is_stopped_shutdown(self) -> None:
        assert (
            running().observe("pmsuspended/disk", "shutdown/guest", "stopped/shutdown").last
            == "stopped/shutdown"
        )

    def test_shutdown_without_earlier_events_keeps_its_reason(self) -> None:
        assert ClassifierScenario("running", "booted").observe("stopped/shutdown").last == "stopped/shutdown"
        assert (
            ClassifierScenario("shutdown", "unknown").observe("stopped/shutdown").last == "stopped/shutdown"
        )

    def test_shutdown_by_the_host_ends_with_its_run(self) -> None:
        scenario = running().observe("shutdown/host", "stopped/shutdown", *BOOT, "stopped/shutdown")
        assert scenario.last == "stopped/shutdown"

    def test_refused_migration_does_not_affect_the_next_run(self) -> None:
        """libvirt 11.3 sends shutdown/host without another event."""
        assert (
            ClassifierScenario("", "").observe("shutdown/host", *BOOT, "stopped/shutdown").last
            == "stopped/shutdown"
        )

    def test_pause_during_shutdown_keeps_the_reason_quit(self) -> None:
        """libvirt 11.10 may send suspended/guest_shutdown between the two."""
        scenario = running().observe("shutdown/host", "suspended/guest_shutdown", "stopped/shutdown")
        assert scenario.last == "stopped/quit"

    @pytest.mark.parametrize("how", ["saved", "migrated", "from_snapshot", "crashed", "destroyed"])
    def test_shutdown_host_before_another_stop_is_ignored(self, how: str) -> None:
        """libvirt 11.3; 9.0 sends the stop alone."""
        assert running().observe("shutdown/host", f"stopped/{how}").last == f"stopped/{how}"
        assert running().observe(f"stopped/{how}").last == f"stopped/{how}"
