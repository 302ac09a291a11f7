"""From the event to the journal: which words a transition gets, and who is asked for missing ones."""

from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Observation
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS, TOLD_ELSEWHERE, WATCHDOG_ACTIONS
from tests.unit.rig import Rig
from tests.unit.seen import facts, lifecycle, observation, snapshot

DISK = "/images/web.qcow2"


def io_error(word: str, at: float = 1000.0) -> Observation:
    pause = IO_ERROR_ACTIONS.index("pause")
    return observation("io_error_reason", pause, word=word, at=at)._replace(subject=DISK)


def fed(*seen: Observation) -> Rig:
    rig = Rig()
    rig.feed(snapshot(facts("web")), *seen)
    return rig


def words(rig: Rig) -> dict[tuple[str, str], str]:
    return {(change.event, change.reason): change.message for change in rig.notebook.transitions}


def test_pause_by_a_full_disk_has_the_message_of_the_error() -> None:
    rig = fed(io_error("enospc"), lifecycle("suspended", "ioerror", at=1000.01))
    said = f"{DISK}: enospc"
    assert words(rig) == {("io_error", "enospc"): said, ("suspended", "ioerror"): said}
    assert rig.asked.looks == {"uuid-web": None}


def test_pause_by_the_watchdog_has_its_message() -> None:
    barked = observation("watchdog", WATCHDOG_ACTIONS.index("pause"))
    rig = fed(barked, lifecycle("suspended", "watchdog"))
    assert "its action is pause" in words(rig)["suspended", "watchdog"]
    assert rig.asked.looks == {"uuid-web": None}


def test_pause_without_io_error_requests_evidence() -> None:
    rig = fed(lifecycle("suspended", "ioerror"))
    assert words(rig) == {("suspended", "ioerror"): ""}
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "suspended", "ioerror", 1000.0)}


def test_io_error_with_a_message_requests_evidence() -> None:
    rig = fed(io_error(TOLD_ELSEWHERE))
    assert words(rig) == {("io_error", "other"): ""}
    assert [change.detail for change in rig.notebook.transitions] == [TOLD_ELSEWHERE]
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "io_error", "other", 1000.0)}


def test_io_error_without_a_reason_names_its_disk() -> None:
    assert words(fed(io_error(""))) == {("io_error", "other"): f"{DISK}: error"}


def test_failed_stop_requests_evidence_with_id_and_time() -> None:
    rig = fed(lifecycle("stopped", "failed", at=1234.5)._replace(domain_id=-1))
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "stopped", "failed", 1234.5)}
