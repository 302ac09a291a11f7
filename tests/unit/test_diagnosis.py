import pytest

from libvirt_lifecycle_exporter.diagnosis import Diagnosis
from libvirt_lifecycle_exporter.transition import Observation
from libvirt_lifecycle_exporter.vocabulary import ALL_PAIRS, REASONS, WATCHDOG_ACTIONS
from tests.unit.seen import lifecycle, observation


def pair(seen: Observation, diagnosis: Diagnosis | None = None) -> tuple[str, str] | None:
    concluded = (diagnosis or Diagnosis()).conclude(seen)
    return concluded and (concluded.event, concluded.reason)


@pytest.mark.parametrize(
    ("event", "reason"), [(event, reason) for event in REASONS for reason in REASONS[event]]
)
def test_every_lifecycle_pair_is_a_transition(event: str, reason: str) -> None:
    assert pair(lifecycle(event, reason)) == (event, reason)


@pytest.mark.parametrize(("number", "action"), list(enumerate(WATCHDOG_ACTIONS)))
def test_a_watchdog_is_named_by_its_action(number: int, action: str) -> None:
    assert pair(observation("watchdog", number)) == ("watchdog", action)


@pytest.mark.parametrize(
    ("word", "reason"), [("enospc", "enospc"), ("", "other"), ("eio", "other"), ("ENOSPC\n", "other")]
)
def test_an_io_error_keeps_libvirts_own_word_beside_the_reason(word: str, reason: str) -> None:
    concluded = Diagnosis().conclude(observation("io_error_reason", 1, word=word))
    assert concluded is not None
    assert (concluded.event, concluded.reason, concluded.detail, concluded.detail_code) == (
        "io_error",
        reason,
        word,
        1,
    )


def test_a_control_error_is_a_transition() -> None:
    assert pair(observation("control_error")) == ("control_error", "control_error")


@pytest.mark.parametrize(
    "kind", ["agent_lifecycle", "job_completed", "metadata_change", "memory_failure", "new_one"]
)
def test_other_kinds_are_none(kind: str) -> None:
    assert pair(observation(kind)) is None


def test_numbers_from_the_future_are_kept() -> None:
    assert pair(observation("lifecycle", 42, 7)) == ("unknown_42", "unknown_7")
    assert pair(observation("lifecycle", 5, 99)) == ("stopped", "unknown_99")
    assert pair(observation("watchdog", 99)) == ("watchdog", "unknown_99")


def test_one_reboot_is_counted_once() -> None:
    diagnosis = Diagnosis()
    assert pair(observation("reboot", at=10.0), diagnosis) == ("rebooted", "guest")
    assert pair(observation("reboot", at=10.003), diagnosis) is None
    assert pair(observation("reboot", at=10.2), diagnosis) is None
    assert pair(observation("reboot", at=10.5), diagnosis) == ("rebooted", "guest")


def test_reboots_of_two_domains_are_two() -> None:
    diagnosis = Diagnosis()
    assert pair(observation("reboot", name="one", at=10.0), diagnosis)
    assert pair(observation("reboot", name="two", at=10.0), diagnosis)
    assert pair(observation("reboot", name="one", at=10.0, connection="lxc:///system"), diagnosis)


def test_a_clock_that_steps_back_hides_no_reboot() -> None:
    diagnosis = Diagnosis()
    assert pair(observation("reboot", at=5000.0), diagnosis)
    assert pair(observation("reboot", at=1000.0), diagnosis)


def test_memory_of_reboots_is_bounded_and_keeps_the_newest() -> None:
    diagnosis = Diagnosis()
    for number in range(10_000):
        assert pair(observation("reboot", name=f"vm-{number}", at=1.0), diagnosis)
    assert pair(observation("reboot", name="vm-9999", at=1.1), diagnosis) is None
    assert pair(observation("reboot", name="vm-0", at=1.1), diagnosis)


def test_every_pair_of_the_vocabulary_can_be_concluded() -> None:
    seen = [lifecycle(event, reason) for event in REASONS for reason in REASONS[event]]
    seen += [observation("watchdog", number) for number in range(len(WATCHDOG_ACTIONS))]
    seen += [observation("io_error_reason", word=word) for word in ("enospc", "other")]
    seen += [observation("reboot"), observation("control_error")]
    assert {pair(one) for one in seen} == set(ALL_PAIRS)
