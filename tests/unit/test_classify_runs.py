"""Stops that the run explains: it hung, it was on its way in or out, it panicked."""

import pytest

from libvirt_lifecycle_exporter.model.vocabulary import (
    WATCHDOG_ACTIONS,
)
from tests.unit.scene import BOOT, GONE, Scene, running, words
from tests.unit.seen import facts, look, order


class TestHung:
    def test_switched_off_by_its_watchdog(self) -> None:
        stop = running().sees("watchdog/poweroff", "stopped/failed").told[-1]
        assert (stop.reason, stop.detail, stop.detail_code) == ("hung", "failed", 5)

    def test_a_watchdog_long_ago_did_not_switch_it_off(self) -> None:
        scene = running().sees("watchdog/poweroff").sees("stopped/failed", apart=60.0)
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_a_watchdog_of_an_earlier_run_did_not_either(self) -> None:
        scene = running().sees("watchdog/poweroff", "stopped/failed", *BOOT, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("action", [action for action in WATCHDOG_ACTIONS if action != "poweroff"])
    def test_other_watchdogs_did_not_either(self, action: str) -> None:
        assert running().sees(f"watchdog/{action}", "stopped/failed").asks(GONE).last == "stopped/crashed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_destroyed_while_known_to_be_hung(self, before: tuple[str, ...]) -> None:
        scene = running()
        scene.is_hung("emulator")
        stop = scene.sees(*before, "stopped/destroyed").told[-1]
        assert (stop.reason, stop.detail) == ("hung", "destroyed")

    def test_destroyed_after_it_recovered(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        scene.is_hung()
        assert scene.sees("stopped/destroyed").last == "stopped/destroyed"

    def test_destroyed_in_the_next_run(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        scene.sees("stopped/destroyed", *BOOT, "stopped/destroyed")
        assert scene.last == "stopped/destroyed"

    def test_destroyed_in_the_next_run_though_the_stop_was_lost(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        assert scene.sees(*BOOT, "stopped/destroyed").last == "stopped/destroyed"

    def test_found_hung_before_any_event_of_it(self) -> None:
        scene = Scene("running", "booted")
        scene.is_hung()
        scene.is_hung("emulator")
        assert scene.sees("stopped/destroyed").last == "stopped/hung"

    def test_woken_up_it_is_still_hung(self) -> None:
        scene = running().sees("pmsuspended/memory")
        scene.is_hung("emulator")
        assert scene.sees("started/wakeup", "stopped/destroyed").last == "stopped/hung"

    def test_killed_while_hung_the_emulator_crashed(self) -> None:
        scene = running()
        scene.is_hung("emulator")
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"


class TestMigration:
    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_incoming_that_died_failed_at_once(self, before: tuple[str, ...]) -> None:
        scene = Scene("", "").sees("started/migrated", *before, "stopped/failed")
        assert scene.last == "stopped/failed"
        assert scene.diagnosis.pending() == frozenset()

    def test_incoming_from_before_our_time_that_died_failed(self) -> None:
        assert Scene("paused", "migration").sees("stopped/failed").last == "stopped/failed"
        assert Scene("paused", "migration").sees("shutdown/host", "stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("arrival", ["resumed/migrated", "resumed/postcopy", "suspended/paused"])
    def test_arrived_and_killed_it_crashed(self, arrival: str) -> None:
        scene = Scene("", "").sees("started/migrated", arrival, "stopped/failed")
        assert scene.asks(GONE).last == "stopped/crashed"

    def test_found_arrived_and_killed_it_crashed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="running", reason="migrated"))
        assert scene.sees("stopped/failed").asks(GONE).last == "stopped/crashed"

    def test_found_on_its_way_and_killed_it_failed(self) -> None:
        scene = Scene("", "").sees("started/migrated").asks(facts(state="paused", reason="migration"))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    def test_an_answer_about_the_run_before_says_nothing_of_it(self) -> None:
        scene = Scene("running", "booted")
        began = order()
        scene.sees("stopped/migrated", "started/migrated")
        scene.diagnosis.apply_lookup(look("web", facts(state="running", reason="booted"), began=began))
        assert scene.sees("stopped/failed").last == "stopped/failed"

    @pytest.mark.parametrize("before", [(), ("shutdown/host",)])
    def test_leaving_is_no_stop_of_another_kind(self, before: tuple[str, ...]) -> None:
        assert running().sees("suspended/migrated", *before, "stopped/migrated").last == "stopped/migrated"

    def test_lost_in_post_copy_it_crashed_where_it_ran(self) -> None:
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
    def test_is_told_as_sent(self, sequence: tuple[str, ...]) -> None:
        assert words(running().sees(*sequence).told) == [*BOOT, *sequence]
