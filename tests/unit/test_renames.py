"""The series of a name show the domain that has the name now: series hold values, not domain objects."""

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    DomainDetails,
    DomainFacts,
    Nova,
    Observation,
)
from tests.unit.exposition_reader import samples, value
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup
from tests.unit.worker_harness import WorkerHarness, confirm

STATE = "libvirt_domain_state"
OPEN = "libvirt_domain_incident_open"
FACTS = (
    STATE,
    "libvirt_domain_state_reason",
    "libvirt_domain_state_since_timestamp_seconds",
    "libvirt_domain_meta",
    "libvirt_domain_openstack_meta",
    "libvirt_domain_hung",
)
OFF = facts("old", "shutoff", "destroyed", uuid="uuid-1")._replace(domain_id=-1)
NOVA = DomainDetails("kvm", "a title", Nova("shop", "m1", "retail", "p", "eve", "u"))


def event(pair: str, name: str, uuid: str = "uuid-1") -> Observation:
    return lifecycle(*pair.split("/"), name=name, uuid=uuid)


def renamed(old: str, new: str, uuid: str = "uuid-1") -> list[Observation]:
    return [event("undefined/renamed", old, uuid), event("defined/renamed", new, uuid)]


def harness_with(*found: DomainFacts) -> WorkerHarness:
    harness = WorkerHarness()
    harness.feed(ConnectionUp(1.0, HERE), listing(*found))
    return harness


def shown(harness: WorkerHarness, names: Iterable[str]) -> dict[str, str]:
    """Return the state of each of these names; names without a state are left out."""
    found = {
        dict(labels)["domain"]: dict(labels)["state"]
        for (family, labels), is_set in samples(harness.metrics).items()
        if family == STATE and is_set
    }
    return {name: state for name, state in found.items() if name in names}


def uuids(harness: WorkerHarness) -> dict[str, str]:
    return {
        dict(labels)["domain"]: dict(labels)["uuid"]
        for family, labels in samples(harness.metrics)
        if family == "libvirt_domain_meta"
    }


def families(harness: WorkerHarness, name: str) -> set[str]:
    return {family for family, labels in samples(harness.metrics) if dict(labels).get("domain") == name}


def test_renamed_domain_has_no_state_under_its_old_name() -> None:
    """Nothing is rendered between the rename and the start."""
    harness = harness_with(facts("old", uuid="uuid-1"))
    harness.feed(event("stopped/destroyed", "old"), *renamed("old", "new"))
    harness.feed(event("resumed/unpaused", "new"), event("started/booted", "new"))
    assert shown(harness, ("old", "new")) == {"new": "running"}
    assert uuids(harness) == {"new": "uuid-1"}


def test_renamed_domain_shows_no_facts_under_its_old_name() -> None:
    harness = harness_with(OFF)
    harness.feed(lookup("old", OFF, details=NOVA)._replace(uuid="uuid-1"))
    assert set(FACTS) - families(harness, "old") == {"libvirt_domain_hung"}
    harness.feed(*renamed("old", "new"))
    assert not families(harness, "old") & set(FACTS)
    assert set(FACTS) - families(harness, "new") == {"libvirt_domain_hung"}
    assert "libvirt_domain_lifecycle_events_total" in families(harness, "old")
    harness.advance(1000.0)
    assert not families(harness, "old")


def test_swapped_names_show_their_current_domains() -> None:
    harness = harness_with(OFF._replace(name="a"), facts("b", "shutoff", "crashed", uuid="uuid-2"))
    harness.feed(*renamed("a", "tmp"), *renamed("b", "a", "uuid-2"), *renamed("tmp", "b"))
    harness.feed(event("started/booted", "b"))
    assert shown(harness, ("a", "b", "tmp")) == {"a": "shutoff", "b": "running"}
    assert uuids(harness) == {"a": "uuid-2", "b": "uuid-1"}


def test_missed_swap_of_names_shows_the_current_domains() -> None:
    """A lookup is about one domain: for a while both domains have the same name."""
    one, two = OFF._replace(name="a"), facts("b", uuid="uuid-2")
    harness = harness_with(one, two)
    harness.feed(ConnectionDown(harness.now, HERE, "lost"), ConnectionUp(harness.now, HERE))
    confirm(harness, lookup("b", one._replace(name="b"))._replace(uuid="uuid-1"))
    assert uuids(harness)["b"] == "uuid-1"
    confirm(harness, lookup("b", two._replace(autostart=True))._replace(uuid="uuid-2"))
    assert uuids(harness)["b"] == "uuid-1"
    confirm(harness, lookup("a", two._replace(name="a"))._replace(uuid="uuid-2"))
    assert shown(harness, ("a", "b")) == {"a": "running", "b": "shutoff"}
    assert uuids(harness) == {"a": "uuid-2", "b": "uuid-1"}
    harness.advance(1000.0)
    assert uuids(harness) == {"a": "uuid-2", "b": "uuid-1"}


def test_undefined_domain_has_no_series_under_both_names() -> None:
    harness = harness_with(OFF)
    harness.feed(*renamed("old", "new"), event("undefined/removed", "new"))
    assert shown(harness, ("old", "new")) == {"new": "shutoff"}
    harness.advance(1000.0)
    assert not families(harness, "old") | families(harness, "new")


def test_name_of_a_removed_domain_is_taken_by_another() -> None:
    harness = harness_with(OFF)
    harness.feed(event("undefined/removed", "old"), event("defined/added", "old", "uuid-2"))
    harness.feed(event("started/booted", "old", "uuid-2"))
    assert shown(harness, ("old",)) == {"old": "running"}
    assert uuids(harness) == {"old": "uuid-2"}
    harness.advance(1000.0)
    assert uuids(harness) == {"old": "uuid-2"}


def test_name_of_a_renamed_domain_is_taken_by_another() -> None:
    harness = harness_with(OFF)
    harness.feed(*renamed("old", "new"), event("defined/added", "old", "uuid-2"))
    harness.feed(event("started/booted", "new"))
    assert shown(harness, ("old", "new")) == {"old": "shutoff", "new": "running"}
    assert uuids(harness) == {"old": "uuid-2", "new": "uuid-1"}


def test_open_incident_follows_a_rename() -> None:
    harness = harness_with(facts("old", uuid="uuid-1"))
    harness.feed(event("stopped/crashed", "old"), *renamed("old", "new"))
    assert value(harness.metrics, OPEN, domain="old", kind="crashed") == 0
    assert value(harness.metrics, OPEN, domain="new", kind="crashed") == 1
    assert value(harness.metrics, "libvirt_domain_incidents_total", domain="old", kind="crashed") == 1
    assert value(harness.metrics, "libvirt_domain_incidents_total", domain="new", kind="crashed") == 0
    harness.advance(1000.0)
    assert value(harness.metrics, OPEN, domain="new", kind="crashed") == 1
    harness.feed(event("started/booted", "new"))
    assert value(harness.metrics, OPEN, domain="new", kind="crashed") == 0


def test_open_incident_of_a_renamed_domain_survives_a_restart() -> None:
    harness = harness_with(facts("old", uuid="uuid-1"))
    harness.feed(event("stopped/crashed", "old"), *renamed("old", "new"))
    memory: SavedState = harness.worker._state()  # noqa: SLF001 - action the journal would hold
    again = WorkerHarness(restored=memory)
    assert value(again.metrics, OPEN, domain="new", kind="crashed") == 1
    assert value(again.metrics, OPEN, domain="old", kind="crashed") == 0
    assert value(again.metrics, "libvirt_domain_incidents_total", domain="old", kind="crashed") == 1


class Step(NamedTuple):
    uuid: str
    action: str
    name: str
    batch_ends: bool


STEPS = st.builds(
    Step,
    st.sampled_from(("uuid-1", "uuid-2", "uuid-3")),
    st.sampled_from(("define", "undefine", "start", "stop", "rename")),
    st.sampled_from(("a", "b", "c", "d")),
    st.booleans(),
)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_only_current_names_show_a_state(steps: list[Step]) -> None:
    harness = harness_with()
    names: dict[str, str] = {}
    states: dict[str, str] = {}
    removed: set[str] = set()
    waiting: list[Observation] = []
    for uuid, action, name, batch_ends in steps:
        known = names.get(uuid)
        is_off = states.get(uuid) == "shutoff"
        if action == "define" and known is None and name not in names.values():
            names[uuid], states[uuid] = name, "shutoff"
            waiting.append(event("defined/added", name, uuid))
        elif action == "undefine" and known is not None and is_off:
            removed.add(names.pop(uuid))
            waiting.append(event("undefined/removed", known, uuid))
        elif action == "start" and known is not None and is_off:
            states[uuid] = "running"
            waiting += [event("resumed/unpaused", known, uuid), event("started/booted", known, uuid)]
        elif action == "stop" and known is not None and not is_off:
            states[uuid] = "shutoff"
            waiting.append(event("stopped/destroyed", known, uuid))
        elif action == "rename" and known is not None and is_off and name not in names.values():
            names[uuid] = name
            waiting += renamed(known, name, uuid)
        if batch_ends:
            harness.feed(*waiting)
            waiting.clear()
    harness.feed(*waiting)
    current = {name: states[uuid] for uuid, name in names.items()}
    found = shown(harness, ("a", "b", "c", "d"))
    assert {name: state for name, state in found.items() if name in current} == current
    assert all(state == "shutoff" and name in removed for name, state in found.items() if name not in current)
    assert {name: uuid for name, uuid in uuids(harness).items() if name in current} == {
        name: uuid for uuid, name in names.items()
    }
    counted = sum("domain" in dict(labels) for _, labels in samples(harness.metrics))
    assert harness.metrics.series == counted
