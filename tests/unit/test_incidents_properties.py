"""In any order of transitions each incident opens once and closes at most once."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.model.transitions import Incident
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, IO_ERROR_ACTIONS
from tests.unit.factories import HERE
from tests.unit.incident_recorder import HANGS, make_transition
from tests.unit.recorded_incidents import RecordedIncidents

PAIRS = (
    *(f"{event}/{reason}" for event, reason in ALL_PAIRS),
    *("stopped/hung", "stopped/quit", "stopped/unknown", "started/unknown", "resumed/unknown"),
    *(f"{event}/{reason}" for event in ("hung", "recovered") for reason in HANGS),
)


STEPS = st.one_of(
    st.tuples(st.sampled_from(PAIRS), st.sampled_from(("web", "db")), st.sampled_from(IO_ERROR_ACTIONS)),
    st.tuples(st.sampled_from(("(removed)", "(restart)")), st.sampled_from(("web", "db")), st.just("")),
)


@given(st.lists(STEPS, max_size=60), st.lists(st.sampled_from((-50.0, 0.001, 1.0, 3600.0)), min_size=60))
def test_incidents_open_and_close_once_in_any_order(
    steps: list[tuple[str, str, str]], pauses: list[float]
) -> None:
    incidents, at = RecordedIncidents(), 1e9
    opened: dict[str, Incident] = {}
    closed: Counter[str] = Counter()
    for (what, name, action), pause in zip(steps, pauses, strict=False):
        at += pause + len(opened) * 1e-3  # no two incidents of a kind begin at the same instant
        if what == "(restart)":
            restored = RecordedIncidents()
            restored.restore(incidents.open())
            assert restored.open() == incidents.open()
            incidents = restored
            continue
        before = {one.id for one in incidents.open()}
        if what == "(removed)":
            incidents_ = incidents.close_all(HERE, f"uuid-{name}", at)
            assert all(one.closed_at is not None for one in incidents_)
        else:
            belongs, incidents_ = incidents.apply(make_transition(what, at=at, name=name, action=action))
            assert belongs in {"", *before, *(one.id for one in incidents_)}
            assert belongs or not incidents_
        for one in incidents_:
            if one.closed_at is None:
                assert one.id not in opened
                opened[one.id] = one
            else:
                closed[one.id] += 1
                assert one == opened[one.id]._replace(closed_at=one.closed_at)
                assert one.closed_at >= one.opened_at
        assert set(closed.values()) <= {1}
        open_now = incidents.open()
        assert {one.id for one in open_now} == set(opened) - set(closed)
        of_domain = defaultdict(list)
        for one in open_now:
            of_domain[one.uuid].append(one.kind)
        assert all(len(kinds) == len(set(kinds)) for kinds in of_domain.values())
