"""Contradictions between answers and the known state need a second answer."""

from libvirt_lifecycle_exporter.engine.contradictions import Contradictions
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.messages import Lookup


class RecordedContradictions(Contradictions):
    """Contradictions and the records of their domains."""

    def __init__(self) -> None:
        self.records = Records()
        super().__init__(self.records)

    def confirm_lookup(self, lookup: Lookup, newest_order: int, now: float, iteration: int) -> bool:
        record = self.records.get(lookup.connection, lookup.uuid)
        return self.confirm(record, lookup, newest_order=newest_order, now=now, iteration=iteration)


def lookup(began: int, connection: str = "here") -> Lookup:
    return Lookup(began, 0.0, connection, "u", None, None)


def test_contradiction_needs_a_second_answer_after_two_turns() -> None:
    contradictions = RecordedContradictions()
    assert not contradictions.confirm_lookup(lookup(10), newest_order=5, now=100.0, iteration=7)
    assert contradictions.due_requests(11, 100.9, 20) == {}
    assert contradictions.due_requests(12, 101.1, 8) == {}
    assert not contradictions.confirm_lookup(lookup(13), newest_order=5, now=101.2, iteration=9)
    assert contradictions.due_requests(14, 101.3, 9) == {"here": ["u"]}
    assert not contradictions.confirm_lookup(lookup(13), newest_order=5, now=101.4, iteration=9)
    assert contradictions.confirm_lookup(lookup(15), newest_order=5, now=101.5, iteration=9)
    assert contradictions.due_requests(16, 200.0, 99) == {}


def test_newer_observation_restarts_the_contradiction() -> None:
    contradictions = RecordedContradictions()
    contradictions.confirm_lookup(lookup(10), newest_order=5, now=100.0, iteration=0)
    contradictions.due_requests(11, 102.0, 5)
    assert not contradictions.confirm_lookup(lookup(13), newest_order=12, now=102.1, iteration=5)


def test_explained_contradiction_is_removed() -> None:
    contradictions = RecordedContradictions()
    contradictions.confirm_lookup(lookup(10), newest_order=5, now=100.0, iteration=0)
    contradictions.clear(contradictions.records.get("here", "u"))
    assert contradictions.due_requests(11, 102.0, 5) == {}


def test_lost_connection_removes_its_contradictions() -> None:
    contradictions = RecordedContradictions()
    for connection in ("here", "there"):
        contradictions.confirm_lookup(lookup(1, connection), newest_order=0, now=100.0, iteration=0)
    contradictions.clear_all("here")
    assert contradictions.due_requests(2, 102.0, 5) == {"there": ["u"]}
