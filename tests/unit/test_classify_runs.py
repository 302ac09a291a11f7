"""Stops whose reason depends on the run: hangs, migrations, panics."""

import pytest

from libvirt_lifecycle_exporter.model.vocabulary import (
    WATCHDOG_ACTIONS,
)
from tests.unit.classifier_scenario import BOOT, GONE, ClassifierScenario, pair_names, running
from tests.unit.factories import facts, lookup, order


class TestHung:
    def test_domain_stopped_by_its_watchdog_is_stopped_hung(self) -> None:
        stop = running().observe("watchdog/poweroff", "stopped/failed").transitions[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("hung", "failed", 5)

    def test_old_watchdog_event_does_not_explain_a_stop(self) -> None:
        scenario = running().observe("watchdog/poweroff").observe("stopped/failed", interval=60.0)
        assert scenario.answer(GONE).last == "stopped/crashed"

    def test_watchdog_of_an_earlier_run_does_not_explain_a_stop(self) -> None:
        scenario = running().observe("watchdog/poweroff", "stopped/failed", *BOOT, "stopped/failed")
        assert scenario.answer(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("action", [action for action in WATCHDOG_ACTIONS if action != "poweroff"])
    def test_other_watchdog_actions_do_not_explain_a_stop(self, action: str) -> None:
        assert (
            running().observe(f"watchdog/{action}", "stopped/failed").answer(GONE).last == "stopped/crashed"
        )

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_destroyed_hung_domain_is_stopped_hung(self, before: tuple[str, ...]) -> None:
        scenario = running()
        scenario.set_hung("emulator")
        stop = scenario.observe(*before, "stopped/destroyed").transitions[-1]
        assert (stop.reason, stop.detail) == ("hung", "destroyed")

    def test_destroyed_recovered_domain_is_stopped_destroyed(self) -> None:
        scenario = running()
        scenario.set_hung("emulator")
        scenario.set_hung()
        assert scenario.observe("stopped/destroyed").last == "stopped/destroyed"

    def test_hang_does_not_explain_a_stop_of_the_next_run(self) -> None:
        scenario = running()
        scenario.set_hung("emulator")
        scenario.observe("stopped/destroyed", *BOOT, "stopped/destroyed")
        assert scenario.last == "stopped/destroyed"

    def test_hang_ends_with_a_new_start_if_the_stop_was_missed(self) -> None:
        scenario = running()
        scenario.set_hung("emulator")
        assert scenario.observe(*BOOT, "stopped/destroyed").last == "stopped/destroyed"

    def test_domain_without_earlier_events_is_stopped_hung(self) -> None:
        scenario = ClassifierScenario("running", "booted")
        scenario.set_hung()
        scenario.set_hung("emulator")
        assert scenario.observe("stopped/destroyed").last == "stopped/hung"

    def test_wakeup_does_not_end_a_hang(self) -> None:
        scenario = running().observe("pmsuspended/memory")
        scenario.set_hung("emulator")
        assert scenario.observe("started/wakeup", "stopped/destroyed").last == "stopped/hung"

    def test_killed_hung_emulator_is_stopped_crashed(self) -> None:
        scenario = running()
        scenario.set_hung("emulator")
        assert scenario.observe("stopped/failed").answer(GONE).last == "stopped/crashed"


class TestMigration:
    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_killed_incoming_migration_is_failed_at_once(self, before: tuple[str, ...]) -> None:
        scenario = ClassifierScenario("", "").observe("started/migrated", *before, "stopped/failed")
        assert scenario.last == "stopped/failed"
        assert scenario.classifier.pending() == frozenset()

    def test_killed_incoming_migration_of_a_found_domain_is_failed(self) -> None:
        assert ClassifierScenario("paused", "migration").observe("stopped/failed").last == "stopped/failed"
        assert (
            ClassifierScenario("paused", "migration").observe("shutdown/host", "stopped/failed").last
            == "stopped/failed"
        )

    @pytest.mark.parametrize("arrival", ["resumed/migrated", "resumed/postcopy", "suspended/paused"])
    def test_killed_domain_after_its_arrival_is_crashed(self, arrival: str) -> None:
        scenario = ClassifierScenario("", "").observe("started/migrated", arrival, "stopped/failed")
        assert scenario.answer(GONE).last == "stopped/crashed"

    def test_killed_domain_found_after_its_arrival_is_crashed(self) -> None:
        scenario = (
            ClassifierScenario("", "")
            .observe("started/migrated")
            .answer(facts(state="running", reason="migrated"))
        )
        assert scenario.observe("stopped/failed").answer(GONE).last == "stopped/crashed"

    def test_killed_domain_found_before_its_arrival_is_failed(self) -> None:
        scenario = (
            ClassifierScenario("", "")
            .observe("started/migrated")
            .answer(facts(state="paused", reason="migration"))
        )
        assert scenario.observe("stopped/failed").last == "stopped/failed"

    def test_answer_about_the_previous_run_is_ignored(self) -> None:
        scenario = ClassifierScenario("running", "booted")
        began = order()
        scenario.observe("stopped/migrated", "started/migrated")
        scenario.apply_lookup(lookup("web", facts(state="running", reason="booted"), began=began))
        assert scenario.observe("stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_outgoing_migration_is_stopped_migrated(self, before: tuple[str, ...]) -> None:
        assert running().observe("suspended/migrated", *before, "stopped/migrated").last == "stopped/migrated"

    def test_killed_destination_of_post_copy_is_crashed(self) -> None:
        scenario = ClassifierScenario("", "").observe(
            "started/migrated", "resumed/postcopy", "stopped/failed"
        )
        assert scenario.answer(GONE).last == "stopped/crashed"


class TestPanic:
    @pytest.mark.parametrize(
        "sequence",
        [
            ("crashed/panicked", "stopped/crashed"),
            ("suspended/paused", "crashed/panicked", "stopped/crashed"),
            ("crashed/panicked", "shutdown/host", "stopped/crashed"),
            ("crashed/panicked", "rebooted/reset", "resumed/unpaused"),
        ],
    )
    def test_events_of_a_panic_keep_their_reasons(self, sequence: tuple[str, ...]) -> None:
        assert pair_names(running().observe(*sequence).transitions) == [*BOOT, *sequence]
