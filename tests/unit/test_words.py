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


def test_a_pause_by_a_full_disk_has_the_words_of_the_error_and_nobody_is_asked() -> None:
    rig = fed(io_error("enospc"), lifecycle("suspended", "ioerror", at=1000.01))
    said = f"{DISK}: enospc"
    assert words(rig) == {("io_error", "enospc"): said, ("suspended", "ioerror"): said}
    assert rig.asked.looks == {"uuid-web": None}


def test_a_pause_by_the_watchdog_has_the_words_of_the_watchdog() -> None:
    barked = observation("watchdog", WATCHDOG_ACTIONS.index("pause"))
    rig = fed(barked, lifecycle("suspended", "watchdog"))
    assert "its action is pause" in words(rig)["suspended", "watchdog"]
    assert rig.asked.looks == {"uuid-web": None}


def test_a_network_disk_is_told_by_the_pause_alone_and_libvirt_is_asked() -> None:
    rig = fed(lifecycle("suspended", "ioerror"))
    assert words(rig) == {("suspended", "ioerror"): ""}
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "suspended", "ioerror", 1000.0)}


def test_where_libvirt_says_that_there_is_a_message_it_is_asked_for_it() -> None:
    rig = fed(io_error(TOLD_ELSEWHERE))
    assert words(rig) == {("io_error", "other"): ""}
    assert [change.detail for change in rig.notebook.transitions] == [TOLD_ELSEWHERE]
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "io_error", "other", 1000.0)}


def test_an_error_without_a_word_is_told_with_its_disk() -> None:
    assert words(fed(io_error(""))) == {("io_error", "other"): f"{DISK}: error"}


def test_of_a_stop_in_doubt_evidence_is_asked_for_with_its_id_and_time() -> None:
    rig = fed(lifecycle("stopped", "failed", at=1234.5)._replace(domain_id=-1))
    assert rig.asked.looks == {"uuid-web": EvidenceRequest("web", 1, "stopped", "failed", 1234.5)}
