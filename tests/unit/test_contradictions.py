from libvirt_lifecycle_exporter.engine.contradictions import Contradictions
from libvirt_lifecycle_exporter.model.messages import Lookup

KEY = ("here", "u")


def look(began: int, connection: str = "here") -> Lookup:
    return Lookup(began, 0.0, connection, "u", None, None)


def test_contradiction_needs_a_second_answer_after_two_turns() -> None:
    doubts = Contradictions()
    assert not doubts.confirm(look(10), newest_order=5, now=100.0, iteration=7)
    assert doubts.due_requests(11, 100.9, 20) == {}
    assert doubts.due_requests(12, 101.1, 8) == {}
    assert not doubts.confirm(look(13), newest_order=5, now=101.2, iteration=9)
    assert doubts.due_requests(14, 101.3, 9) == {"here": ["u"]}
    assert not doubts.confirm(look(13), newest_order=5, now=101.4, iteration=9)
    assert doubts.confirm(look(15), newest_order=5, now=101.5, iteration=9)
    assert doubts.due_requests(16, 200.0, 99) == {}


def test_a_newer_observation_makes_it_another_contradiction() -> None:
    doubts = Contradictions()
    doubts.confirm(look(10), newest_order=5, now=100.0, iteration=0)
    doubts.due_requests(11, 102.0, 5)
    assert not doubts.confirm(look(13), newest_order=12, now=102.1, iteration=5)


def test_what_is_explained_is_forgotten() -> None:
    doubts = Contradictions()
    doubts.confirm(look(10), newest_order=5, now=100.0, iteration=0)
    doubts.clear(KEY)
    assert doubts.due_requests(11, 102.0, 5) == {}


def test_a_lost_connection_takes_its_doubts_with_it() -> None:
    doubts = Contradictions()
    for connection in ("here", "there"):
        doubts.confirm(look(1, connection), newest_order=0, now=100.0, iteration=0)
    doubts.clear_all("here")
    assert doubts.due_requests(2, 102.0, 5) == {"there": ["u"]}
