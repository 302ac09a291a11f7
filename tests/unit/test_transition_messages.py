"""Messages of transitions, and requests for missing evidence."""

from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Observation
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS, TOLD_ELSEWHERE, WATCHDOG_ACTIONS
from tests.unit.factories import facts, lifecycle, listing, observation
from tests.unit.worker_harness import WorkerHarness

DISK = "/images/web.qcow2"


def io_error(word: str, at: float = 1000.0) -> Observation:
    pause = IO_ERROR_ACTIONS.index("pause")
    return observation("io_error_reason", pause, word=word, at=at)._replace(subject=DISK)


def harness_with(*observations: Observation) -> WorkerHarness:
    harness = WorkerHarness()
    harness.feed(listing(facts("web")), *observations)
    return harness


def messages(harness: WorkerHarness) -> dict[tuple[str, str], str]:
    return {(change.event, change.reason): change.message for change in harness.journal.transitions}


def test_pause_by_a_full_disk_has_the_message_of_the_error() -> None:
    harness = harness_with(io_error("enospc"), lifecycle("suspended", "ioerror", at=1000.01))
    message = f"{DISK}: enospc"
    assert messages(harness) == {("io_error", "enospc"): message, ("suspended", "ioerror"): message}
    assert harness.requests.lookups == {"uuid-web": None}


def test_pause_by_the_watchdog_has_its_message() -> None:
    watchdog = observation("watchdog", WATCHDOG_ACTIONS.index("pause"))
    harness = harness_with(watchdog, lifecycle("suspended", "watchdog"))
    assert "its action is pause" in messages(harness)["suspended", "watchdog"]
    assert harness.requests.lookups == {"uuid-web": None}


def test_pause_without_io_error_requests_evidence() -> None:
    harness = harness_with(lifecycle("suspended", "ioerror"))
    assert messages(harness) == {("suspended", "ioerror"): ""}
    assert harness.requests.lookups == {"uuid-web": EvidenceRequest("web", 1, "suspended", "ioerror", 1000.0)}


def test_io_error_with_a_message_requests_evidence() -> None:
    harness = harness_with(io_error(TOLD_ELSEWHERE))
    assert messages(harness) == {("io_error", "other"): ""}
    assert [change.detail for change in harness.journal.transitions] == [TOLD_ELSEWHERE]
    assert harness.requests.lookups == {"uuid-web": EvidenceRequest("web", 1, "io_error", "other", 1000.0)}


def test_io_error_without_a_reason_names_its_disk() -> None:
    assert messages(harness_with(io_error(""))) == {("io_error", "other"): f"{DISK}: error"}


def test_failed_stop_requests_evidence_with_id_and_time() -> None:
    harness = harness_with(lifecycle("stopped", "failed", at=1234.5)._replace(domain_id=-1))
    assert harness.requests.lookups == {"uuid-web": EvidenceRequest("web", 1, "stopped", "failed", 1234.5)}
