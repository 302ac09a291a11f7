"""Stops that the run explains: it hung, it was on its way in or out, it panicked."""

import pytest

from libvirt_lifecycle_exporter.model.vocabulary import (
    WATCHDOG_ACTIONS,
)
from tests.unit.scene import BOOT, GONE, Scene, running, words
from tests.unit.seen import facts, look, order


class TestHung:
    def test_domain_stopped_by_its_watchdog_is_stopped_hung(self) -> None:
        stop = running().sees("watchdog/poweroff", "stopped/failed").told[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("hung", "failed", 5)

    def test_old_watchdog_event_does_not_explain_a_stop(self) -> None:
        scene = running().sees("watchdog/poweroff").sees("stopped/failed", apart=60.0)
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_watchdog_of_an_earlier_run_does_not_explain_a_stop(self) -> None:
        scene = running().sees("watchdog/poweroff", "stopped/failed", *BOOT, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("action", [action for action in WATCHDOG_ACTIONS if action != "poweroff"])
    def test_other_watchdog_actions_do_not_explain_a_stop(self, action: str) -> None:
        assert running().sees(f"watchdog/{action}", "stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_destroyed_hung_domain_is_stopped_hung(self, before: tuple[str, ...]) -> None:
        scene = running()
        scene.is_hung("emulator")
        stop = scene.sees(*before, "stopped/destroyed").told[-1]
        assert (stop.reason, stop.detail) == ("hung", "destroyed")

    def test_destroyed_recovered_domain_is_stopped_destroyed(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        scene.is_hung()
        assert scene.sees("stopped/destroyed").last == "stopped/destroyed"

    def test_hang_does_not_explain_a_stop_of_the_next_run(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        scene.sees("stopped/destroyed", *BOOT, "stopped/destroyed")
        assert scene.last == "stopped/destroyed"

    def test_hang_ends_with_a_new_start_if_the_stop_was_missed(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        assert scene.sees(*BOOT, "stopped/destroyed").last == "stopped/destroyed"

    def test_domain_without_earlier_events_is_stopped_hung(self) -> None:
        scene = Scene("running", "booted")
        scene.is_hung()
        scene.is_hung("emulator")
        assert scene.sees("stopped/destroyed").last == "stopped/hung"

    def test_wakeup_does_not_end_a_hang(self) -> None:
        scene = running().sees("pmsuspended/memory")
        scene.is_hung("emulator")
        assert scene.sees("started/wakeup", "stopped/destroyed").last == "stopped/hung"

    def test_killed_hung_emulator_is_stopped_crashed(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"


class TestMigration:
    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_killed_incoming_migration_is_failed_at_once(self, before: tuple[str, ...]) -> None:
        scene = Scene("", "").sees("started/migrated", *before, "stopped/failed")
        assert scene.last == "stopped/failed"
        assert scene.diagnosis.pending() == frozenset()

    def test_killed_incoming_migration_of_a_found_domain_is_failed(self) -> None:
        assert Scene("paused", "migration").sees("stopped/failed").last == "stopped/failed"
        assert Scene("paused", "migration").sees("shutdown/host", "stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("arrival", ["resumed/migrated", "resumed/postcopy", "suspended/paused"])
    def test_killed_domain_after_its_arrival_is_crashed(self, arrival: str) -> None:
        scene = Scene("", "").sees("started/migrated", arrival, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_killed_domain_found_after_its_arrival_is_crashed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="running", reason="migrated"))
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_killed_domain_found_before_its_arrival_is_failed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="paused", reason="migration"))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    def test_answer_about_the_previous_run_is_ignored(self) -> None:
        scene = Scene("running", "booted")
        began = order()
        scene.sees("stopped/migrated", "started/migrated")
        scene.diagnosis.apply_lookup(look("web", facts(state="running", reason="booted"), began=began))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_outgoing_migration_is_stopped_migrated(self, before: tuple[str, ...]) -> None:
        assert running().sees("suspended/migrated", *before, "stopped/migrated").last == "stopped/migrated"

    def test_killed_destination_of_post_copy_is_crashed(self) -> None:
        scene = Scene("", "").sees("started/migrated", "resumed/postcopy", "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"


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
        assert words(running().sees(*sequence).told) == [*BOOT, *sequence]
