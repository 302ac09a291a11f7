"""A series limit that is reached: ``_other`` is the same after a kill, after a stop, after a repair."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.messages import Observation
from tests.journal.life import Life
from tests.unit.exporter_model import FOR_EVER
from tests.unit.exposition_reader import EVENTS, Samples, names, samples, value
from tests.unit.seen import HERE, facts, lifecycle, snapshot

NAMES = ("vm-c", "vm-a", "vm-d", "vm-b", "vm-e")
"""Not in the order of the alphabet, in which a journal has them."""
TIGHT, ONE = 34, 45
"""Limits with room for one domain: and for one more pair, or for several."""
OPEN, BEGAN = "libvirt_domain_incident_open", "libvirt_domain_last_incident_timestamp_seconds"
VOLATILE = ("libvirt_connection_up", "libvirt_connection_unobserved_seconds_total")

Again = Callable[[Life], object]


def is_rewritten(life: Life) -> None:
    """It was lost, and is written anew from memory."""
    life.path.unlink()
    life.worker.tick()
    life.is_killed()


def is_mended(life: Life) -> None:
    """It could not be written for a while."""
    with closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.feed(
            lifecycle("defined", "updated", name=NAMES[0]), lifecycle("defined", "updated", name=NAMES[4])
        )
    life.worker.tick()


AGAIN: dict[str, Again] = {
    "killed": Life.is_killed,
    "stopped": Life.ends,
    "rewritten, killed": is_rewritten,
}


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    with Life(tmp_path, series_limit=ONE) as life:
        yield life


def page(sink: MetricsStore) -> Samples:
    return {key: number for key, number in samples(sink).items() if key[0] not in VOLATILE}


def crash(name: str) -> tuple[Observation, Observation]:
    return lifecycle("stopped", "crashed", name=name), lifecycle("started", "booted", name=name)


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_individual_and_aggregated_series_survive_restart(again: Again, life: Life) -> None:
    life.lists(snapshot(*(facts(name) for name in NAMES)))
    for name in (*NAMES, NAMES[0]):
        life.feed(*crash(name))
    before = page(life.sink)
    assert value(life.sink, EVENTS, domain=NAMES[0], event="stopped", reason="crashed") == 2
    assert value(life.sink, EVENTS, domain="_other", event="stopped", reason="crashed") == 4
    assert value(life.sink, "libvirt_domain_incidents_total", domain="_other", kind="crashed") == 4
    for _ in range(2):
        again(life)
        assert page(life.sink) == before


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_refused_domains_are_counted_again_after_restart(again: Again, life: Life) -> None:
    """The alert about it asks the counter: a restart makes no room."""
    found = snapshot(*(facts(name) for name in NAMES))
    life.lists(found)
    assert life.series.refused == len(NAMES) - 1
    for _ in range(2):
        again(life)
        life.lists(found)
        assert life.series.refused == len(NAMES) - 1
    life.series_limit = ONE * len(NAMES)
    again(life)
    life.lists(found)
    assert life.series.refused == 0


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_zero_values_survive_restart(again: Again, life: Life) -> None:
    """Nothing has happened yet to the one that has series, but to all that have none."""
    life.lists(snapshot(*(facts(name) for name in NAMES)))
    for name in NAMES[1:]:
        life.feed(*crash(name))
    before = page(life.sink)
    again(life)
    assert page(life.sink) == before


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_aggregated_pair_stays_aggregated_after_restart(again: Again, tmp_path: Path) -> None:
    with Life(tmp_path, series_limit=TIGHT) as life:
        life.lists(snapshot(facts("web")))
        life.feed(lifecycle("suspended", "paused"), lifecycle("resumed", "unpaused"), *crash("web"))
        assert value(life.sink, EVENTS, domain="web", event="suspended", reason="paused") == 1
        assert value(life.sink, EVENTS, domain="_other", event="resumed", reason="unpaused") == 1
        for _ in range(2):
            before = page(life.sink)
            again(life)
            assert page(life.sink) == before
            life.feed(lifecycle("suspended", "paused"), lifecycle("resumed", "unpaused"), *crash("web"))


def test_recovered_domain_keeps_other_aggregated_incidents(life: Life) -> None:
    life.lists(snapshot(*(facts(name) for name in NAMES)))
    life.feed(lifecycle("stopped", "crashed", name=NAMES[1]), lifecycle("stopped", "crashed", name=NAMES[2]))
    newest = value(
        life.sink, "libvirt_domain_last_incident_timestamp_seconds", domain="_other", kind="crashed"
    )
    life.feed(lifecycle("started", "booted", name=NAMES[1]))
    shown = {"domain": "_other", "kind": "crashed"}
    assert value(life.sink, "libvirt_domain_incident_open", **shown) == 1
    assert value(life.sink, "libvirt_domain_last_incident_timestamp_seconds", **shown) == newest
    life.feed(lifecycle("started", "booted", name=NAMES[2]))
    assert value(life.sink, "libvirt_domain_incident_open", **shown) == 0


def test_domain_admitted_later_has_series_from_then_on(life: Life) -> None:
    life.lists(snapshot(facts(NAMES[0]), facts(NAMES[1])))
    life.feed(*crash(NAMES[1]))
    life.feed(
        lifecycle("stopped", "destroyed", name=NAMES[0]), lifecycle("undefined", "removed", name=NAMES[0])
    )
    life.later(2e12)
    life.feed(*crash(NAMES[1]))
    crashed = {"event": "stopped", "reason": "crashed"}
    for _ in range(2):
        assert value(life.sink, EVENTS, domain=NAMES[1], **crashed) == 1
        assert value(life.sink, EVENTS, domain="_other", **crashed) == 1
        assert value(life.sink, EVENTS, domain=NAMES[0], **crashed) is None
        life.is_killed()


def test_removed_aggregated_domains_leave_no_state(life: Life) -> None:
    life.lists(snapshot(facts("first")))
    for number in range(20):
        name = f"ci-{number}"
        life.feed(lifecycle("started", "booted", name=name), lifecycle("stopped", "failed", name=name))
        life.later()
    life.later(2e12)
    assert life.memory().folded == frozenset()
    assert names(life.sink) == {"first", "_other"}


def test_count_after_series_expiry_starts_at_one(tmp_path: Path) -> None:
    """A verdict may take longer than the series of a domain that is gone."""
    with Life(tmp_path, ttl=0.0) as life:
        life.lists(snapshot(facts("web", persistent=False)))
        life.feed(lifecycle("suspended", "paused"), lifecycle("stopped", "failed"))
        life.later(5.0)
        crashed = (HERE, "web", "stopped", "crashed")
        assert value(life.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
        assert value(life.sink, EVENTS, domain="web", event="suspended", reason="paused") is None
        counts = {key: count for key, (count, _) in life.memory().counts.items() if key[2] != "incident"}
        assert counts == {crashed: 1}
        life.later()
        assert names(life.sink) == set()
        assert life.memory().counts == {}


EVENT = st.sampled_from(
    [
        ("stopped", "crashed"),
        ("stopped", "destroyed"),
        ("stopped", "failed"),
        ("started", "booted"),
        ("suspended", "ioerror"),
        ("suspended", "paused"),
        ("resumed", "unpaused"),
        ("defined", "added"),
        ("undefined", "removed"),
        ("shutdown", "guest"),
    ]
)
ACT = st.tuples(st.sampled_from(NAMES), EVENT) | st.sampled_from(
    ["killed", "stopped", "rewritten", "mended", "later"]
)
ROOM = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - emptied afterwards


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    limit=st.integers(0, 4 * ONE), ttl=st.sampled_from((FOR_EVER, 5.0, 0.0)), acts=st.lists(ACT, max_size=40)
)
def test_restart_shows_the_same_page_after_any_sequence(limit: int, ttl: float, acts: list[object]) -> None:
    folder = Path(tempfile.mkdtemp(dir=ROOM))
    try:
        with Life(folder, series_limit=limit, ttl=ttl) as life:
            life.lists(snapshot(*(facts(name) for name in NAMES[:3])))
            for act in acts:
                if isinstance(act, tuple):
                    name, (event, reason) = act
                    life.feed(lifecycle(event, reason, name=name))
                    continue
                life.later()
                before = page(life.sink)
                if act == "later":
                    life.later()
                elif act == "mended":
                    is_mended(life)
                    before = page(life.sink)
                    life.is_killed()
                    assert page(life.sink) == before
                else:
                    AGAIN["rewritten, killed" if act == "rewritten" else str(act)](life)
                    assert page(life.sink) == before
                assert life.sink.series == sum("domain" in dict(has) for _, has in samples(life.sink))
    finally:
        shutil.rmtree(folder)
