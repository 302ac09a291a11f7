"""Classification of libvirt's events. The sequences are those that libvirt 9.0 with QEMU 7.2 and libvirt 11.3
with QEMU 10.0 send.
"""

import pytest

from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALL_PAIRS,
    REASONS,
    WATCHDOG_ACTIONS,
)
from tests.unit.classifier_scenario import (
    ClassifierScenario,
    RecordedClassifier,
    classify,
    classify_single,
    make_observation,
    running,
)
from tests.unit.factories import lifecycle, observation


class TestPairs:
    @pytest.mark.parametrize(
        ("event", "reason"), [(event, reason) for event in REASONS for reason in REASONS[event]]
    )
    def test_every_lifecycle_pair_is_a_transition(self, event: str, reason: str) -> None:
        assert classify_single(lifecycle(event, reason)) == (event, reason)

    @pytest.mark.parametrize(("number", "action"), list(enumerate(WATCHDOG_ACTIONS)))
    def test_watchdog_reason_is_its_action(self, number: int, action: str) -> None:
        assert classify_single(observation("watchdog", number)) == ("watchdog", action)

    @pytest.mark.parametrize(
        ("word", "reason"), [("enospc", "enospc"), ("", "other"), ("eio", "other"), ("ENOSPC\n", "other")]
    )
    def test_io_error_keeps_the_word_of_libvirt_as_detail(self, word: str, reason: str) -> None:
        (change,) = classify(
            RecordedClassifier(), observation("io_error_reason", 1, word=word), "running", "booted"
        )
        assert change.event == "io_error"
        assert (change.reason, change.detail, change.detail_code) == (reason, word, 1)

    def test_control_error_is_a_transition(self) -> None:
        assert classify_single(observation("control_error")) == ("control_error", "control_error")

    @pytest.mark.parametrize(
        "kind", ["agent_lifecycle", "job_completed", "metadata_change", "memory_failure", "new_one"]
    )
    def test_other_event_kinds_are_no_transitions(self, kind: str) -> None:
        assert classify_single(observation(kind)) is None

    def test_unknown_numbers_are_kept(self) -> None:
        assert classify_single(observation("lifecycle", 42, 7)) == ("unknown_42", "unknown_7")
        assert classify_single(observation("lifecycle", 5, 99)) == ("stopped", "unknown_99")
        assert classify_single(observation("watchdog", 99)) == ("watchdog", "unknown_99")

    def test_every_pair_of_the_vocabulary_can_be_produced(self) -> None:
        concluded = {classify_single(make_observation(f"{event}/{reason}")) for event, reason in ALL_PAIRS}
        assert concluded == set(ALL_PAIRS)


class TestReboots:
    def test_one_reboot_is_counted_once(self) -> None:
        classifier = RecordedClassifier()
        assert classify_single(observation("reboot", at=10.0), classifier) == ("rebooted", "reset")
        assert classify_single(observation("reboot", at=10.003), classifier) is None
        assert classify_single(observation("reboot", at=10.2), classifier) is None
        assert classify_single(observation("reboot", at=10.5), classifier) == ("rebooted", "reset")

    def test_reboots_of_two_domains_are_counted_separately(self) -> None:
        classifier = RecordedClassifier()
        assert classify_single(observation("reboot", name="one", at=10.0), classifier)
        assert classify_single(observation("reboot", name="two", at=10.0), classifier)
        assert classify_single(
            observation("reboot", name="one", at=10.0, connection="lxc:///system"), classifier
        )

    def test_clock_that_steps_back_hides_no_reboot(self) -> None:
        classifier = RecordedClassifier()
        assert classify_single(observation("reboot", at=5000.0), classifier)
        assert classify_single(observation("reboot", at=1000.0), classifier)

    def test_reboots_of_unlisted_domains_are_bounded(self) -> None:
        records = Records(max_unlisted=100)
        classifier = RecordedClassifier(records)
        for number in range(300):
            assert classify_single(observation("reboot", name=f"vm-{number}", at=1.0), classifier)
        assert classify_single(observation("reboot", name="vm-299", at=1.1), classifier) is None
        assert classify_single(observation("reboot", name="vm-0", at=1.1), classifier)
        assert len(records) == 100


@pytest.mark.parametrize("reason", ["crashed", "shutdown", "destroyed", "migrated", "saved"])
def test_stop_reason_of_the_rfc_is_kept(reason: str) -> None:
    assert running().observe(f"stopped/{reason}").last == f"stopped/{reason}"


@pytest.mark.parametrize("reason", ["booted", "migrated", "restored"])
def test_start_reason_of_the_rfc_is_kept(reason: str) -> None:
    assert ClassifierScenario().observe(f"started/{reason}").last == f"started/{reason}"


@pytest.mark.parametrize("event", ["stopped", "started"])
def test_unknown_reason_of_a_driver_is_kept(event: str) -> None:
    number = 5 if event == "stopped" else 2
    assert classify_single(observation("lifecycle", number, 99)) == (event, "unknown_99")
