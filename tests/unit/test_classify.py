"""What libvirt says, and what it is taken for (design/vocabulary.md, 3). The sequences are those that
libvirt 9.0 with QEMU 7.2 and libvirt 11.3 with QEMU 10.0 really send."""

import pytest

from libvirt_lifecycle_exporter.engine.classify import Classifier
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALL_PAIRS,
    REASONS,
    WATCHDOG_ACTIONS,
)
from tests.unit.scene import Scene, pair, running, see, sent
from tests.unit.seen import lifecycle, observation


class TestPairs:
    @pytest.mark.parametrize(
        ("event", "reason"), [(event, reason) for event in REASONS for reason in REASONS[event]]
    )
    def test_every_lifecycle_pair_is_a_transition(self, event: str, reason: str) -> None:
        assert pair(lifecycle(event, reason)) == (event, reason)

    @pytest.mark.parametrize(("number", "action"), list(enumerate(WATCHDOG_ACTIONS)))
    def test_watchdog_reason_is_its_action(self, number: int, action: str) -> None:
        assert pair(observation("watchdog", number)) == ("watchdog", action)

    @pytest.mark.parametrize(
        ("word", "reason"), [("enospc", "enospc"), ("", "other"), ("eio", "other"), ("ENOSPC\n", "other")]
    )
    def test_io_error_keeps_the_word_of_libvirt_as_detail(self, word: str, reason: str) -> None:
        (change,) = see(Classifier(), observation("io_error_reason", 1, word=word), "running", "booted")
        assert change.event == "io_error"
        assert (change.reason, change.detail, change.detail_code) == (reason, word, 1)

    def test_control_error_is_a_transition(self) -> None:
        assert pair(observation("control_error")) == ("control_error", "control_error")

    @pytest.mark.parametrize(
        "kind", ["agent_lifecycle", "job_completed", "metadata_change", "memory_failure", "new_one"]
    )
    def test_other_event_kinds_are_no_transitions(self, kind: str) -> None:
        assert pair(observation(kind)) is None

    def test_unknown_numbers_are_kept(self) -> None:
        assert pair(observation("lifecycle", 42, 7)) == ("unknown_42", "unknown_7")
        assert pair(observation("lifecycle", 5, 99)) == ("stopped", "unknown_99")
        assert pair(observation("watchdog", 99)) == ("watchdog", "unknown_99")

    def test_every_pair_of_the_vocabulary_can_be_produced(self) -> None:
        concluded = {pair(sent(f"{event}/{reason}")) for event, reason in ALL_PAIRS}
        assert concluded == set(ALL_PAIRS)


class TestReboots:
    def test_one_reboot_is_counted_once(self) -> None:
        diagnosis = Classifier()
        assert pair(observation("reboot", at=10.0), diagnosis) == ("rebooted", "reset")
        assert pair(observation("reboot", at=10.003), diagnosis) is None
        assert pair(observation("reboot", at=10.2), diagnosis) is None
        assert pair(observation("reboot", at=10.5), diagnosis) == ("rebooted", "reset")

    def test_reboots_of_two_domains_are_counted_separately(self) -> None:
        diagnosis = Classifier()
        assert pair(observation("reboot", name="one", at=10.0), diagnosis)
        assert pair(observation("reboot", name="two", at=10.0), diagnosis)
        assert pair(observation("reboot", name="one", at=10.0, connection="lxc:///system"), diagnosis)

    def test_clock_that_steps_back_hides_no_reboot(self) -> None:
        diagnosis = Classifier()
        assert pair(observation("reboot", at=5000.0), diagnosis)
        assert pair(observation("reboot", at=1000.0), diagnosis)

    def test_reboots_of_unlisted_domains_are_bounded(self) -> None:
        records = Records(max_unlisted=100)
        diagnosis = Classifier(records)
        for number in range(300):
            assert pair(observation("reboot", name=f"vm-{number}", at=1.0), diagnosis)
        assert pair(observation("reboot", name="vm-299", at=1.1), diagnosis) is None
        assert pair(observation("reboot", name="vm-0", at=1.1), diagnosis)
        assert len(records) == 100


@pytest.mark.parametrize("reason", ["crashed", "shutdown", "destroyed", "migrated", "saved"])
def test_stop_reason_of_the_rfc_is_kept(reason: str) -> None:
    assert running().sees(f"stopped/{reason}").last == f"stopped/{reason}"


@pytest.mark.parametrize("reason", ["booted", "migrated", "restored"])
def test_start_reason_of_the_rfc_is_kept(reason: str) -> None:
    assert Scene().sees(f"started/{reason}").last == f"started/{reason}"


@pytest.mark.parametrize("event", ["stopped", "started"])
def test_unknown_reason_of_a_driver_is_kept(event: str) -> None:
    number = 5 if event == "stopped" else 2
    assert pair(observation("lifecycle", number, 99)) == (event, "unknown_99")
