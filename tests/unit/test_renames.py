"""A name is shown for the domain that has it now: series hold values, never a live domain."""

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
from tests.unit.rig import Rig, settle
from tests.unit.seen import HERE, facts, lifecycle, look, snapshot

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


def rig_of(*found: DomainFacts) -> Rig:
    rig = Rig()
    rig.feed(ConnectionUp(1.0, HERE), snapshot(*found))
    return rig


def shown(rig: Rig, names: Iterable[str]) -> dict[str, str]:
    """Return the state that each of these names shows; names without one are left out."""
    found = {
        dict(labels)["domain"]: dict(labels)["state"]
        for (family, labels), is_set in samples(rig.sink).items()
        if family == STATE and is_set
    }
    return {name: state for name, state in found.items() if name in names}


def uuids(rig: Rig) -> dict[str, str]:
    return {
        dict(labels)["domain"]: dict(labels)["uuid"]
        for family, labels in samples(rig.sink)
        if family == "libvirt_domain_meta"
    }


def families(rig: Rig, name: str) -> set[str]:
    return {family for family, labels in samples(rig.sink) if dict(labels).get("domain") == name}


def test_renamed_domain_has_no_state_under_its_old_name() -> None:
    """Nothing is rendered between the rename and the start."""
    rig = rig_of(facts("old", uuid="uuid-1"))
    rig.feed(event("stopped/destroyed", "old"), *renamed("old", "new"))
    rig.feed(event("resumed/unpaused", "new"), event("started/booted", "new"))
    assert shown(rig, ("old", "new")) == {"new": "running"}
    assert uuids(rig) == {"new": "uuid-1"}


def test_renamed_domain_shows_no_facts_under_its_old_name() -> None:
    rig = rig_of(OFF)
    rig.feed(look("old", OFF, details=NOVA)._replace(uuid="uuid-1"))
    assert set(FACTS) - families(rig, "old") == {"libvirt_domain_hung"}
    rig.feed(*renamed("old", "new"))
    assert not families(rig, "old") & set(FACTS)
    assert set(FACTS) - families(rig, "new") == {"libvirt_domain_hung"}
    assert "libvirt_domain_lifecycle_events_total" in families(rig, "old")
    rig.later(1000.0)
    assert not families(rig, "old")


def test_swapped_names_show_their_current_domains() -> None:
    rig = rig_of(OFF._replace(name="a"), facts("b", "shutoff", "crashed", uuid="uuid-2"))
    rig.feed(*renamed("a", "tmp"), *renamed("b", "a", "uuid-2"), *renamed("tmp", "b"))
    rig.feed(event("started/booted", "b"))
    assert shown(rig, ("a", "b", "tmp")) == {"a": "shutoff", "b": "running"}
    assert uuids(rig) == {"a": "uuid-2", "b": "uuid-1"}


def test_missed_swap_of_names_shows_the_current_domains() -> None:
    """One look tells of one domain: for a while, both are known by the same name."""
    one, two = OFF._replace(name="a"), facts("b", uuid="uuid-2")
    rig = rig_of(one, two)
    rig.feed(ConnectionDown(rig.now, HERE, "lost"), ConnectionUp(rig.now, HERE))
    settle(rig, look("b", one._replace(name="b"))._replace(uuid="uuid-1"))
    assert uuids(rig)["b"] == "uuid-1"
    settle(rig, look("b", two._replace(autostart=True))._replace(uuid="uuid-2"))
    assert uuids(rig)["b"] == "uuid-1"
    settle(rig, look("a", two._replace(name="a"))._replace(uuid="uuid-2"))
    assert shown(rig, ("a", "b")) == {"a": "running", "b": "shutoff"}
    assert uuids(rig) == {"a": "uuid-2", "b": "uuid-1"}
    rig.later(1000.0)
    assert uuids(rig) == {"a": "uuid-2", "b": "uuid-1"}


def test_undefined_domain_has_no_series_under_both_names() -> None:
    rig = rig_of(OFF)
    rig.feed(*renamed("old", "new"), event("undefined/removed", "new"))
    assert shown(rig, ("old", "new")) == {"new": "shutoff"}
    rig.later(1000.0)
    assert not families(rig, "old") | families(rig, "new")


def test_name_of_a_removed_domain_is_taken_by_another() -> None:
    rig = rig_of(OFF)
    rig.feed(event("undefined/removed", "old"), event("defined/added", "old", "uuid-2"))
    rig.feed(event("started/booted", "old", "uuid-2"))
    assert shown(rig, ("old",)) == {"old": "running"}
    assert uuids(rig) == {"old": "uuid-2"}
    rig.later(1000.0)
    assert uuids(rig) == {"old": "uuid-2"}


def test_name_of_a_renamed_domain_is_taken_by_another() -> None:
    rig = rig_of(OFF)
    rig.feed(*renamed("old", "new"), event("defined/added", "old", "uuid-2"))
    rig.feed(event("started/booted", "new"))
    assert shown(rig, ("old", "new")) == {"old": "shutoff", "new": "running"}
    assert uuids(rig) == {"old": "uuid-2", "new": "uuid-1"}


def test_open_incident_follows_a_rename() -> None:
    rig = rig_of(facts("old", uuid="uuid-1"))
    rig.feed(event("stopped/crashed", "old"), *renamed("old", "new"))
    assert value(rig.sink, OPEN, domain="old", kind="crashed") == 0
    assert value(rig.sink, OPEN, domain="new", kind="crashed") == 1
    assert value(rig.sink, "libvirt_domain_incidents_total", domain="old", kind="crashed") == 1
    assert value(rig.sink, "libvirt_domain_incidents_total", domain="new", kind="crashed") == 0
    rig.later(1000.0)
    assert value(rig.sink, OPEN, domain="new", kind="crashed") == 1
    rig.feed(event("started/booted", "new"))
    assert value(rig.sink, OPEN, domain="new", kind="crashed") == 0


def test_open_incident_of_a_renamed_domain_survives_a_restart() -> None:
    rig = rig_of(facts("old", uuid="uuid-1"))
    rig.feed(event("stopped/crashed", "old"), *renamed("old", "new"))
    memory: SavedState = rig.worker._state()  # noqa: SLF001 - what the journal would hold
    again = Rig(restored=memory)
    assert value(again.sink, OPEN, domain="new", kind="crashed") == 1
    assert value(again.sink, OPEN, domain="old", kind="crashed") == 0
    assert value(again.sink, "libvirt_domain_incidents_total", domain="old", kind="crashed") == 1


class Act(NamedTuple):
    uuid: str
    what: str
    name: str
    batch_ends: bool


ACTS = st.builds(
    Act,
    st.sampled_from(("uuid-1", "uuid-2", "uuid-3")),
    st.sampled_from(("define", "undefine", "start", "stop", "rename")),
    st.sampled_from(("a", "b", "c", "d")),
    st.booleans(),
)


@settings(deadline=None)
@given(acts=st.lists(ACTS, max_size=30))
def test_only_current_names_show_a_state(acts: list[Act]) -> None:
    rig = rig_of()
    names: dict[str, str] = {}
    states: dict[str, str] = {}
    removed: set[str] = set()
    waiting: list[Observation] = []
    for uuid, what, name, batch_ends in acts:
        known = names.get(uuid)
        is_off = states.get(uuid) == "shutoff"
        if what == "define" and known is None and name not in names.values():
            names[uuid], states[uuid] = name, "shutoff"
            waiting.append(event("defined/added", name, uuid))
        elif what == "undefine" and known is not None and is_off:
            removed.add(names.pop(uuid))
            waiting.append(event("undefined/removed", known, uuid))
        elif what == "start" and known is not None and is_off:
            states[uuid] = "running"
            waiting += [event("resumed/unpaused", known, uuid), event("started/booted", known, uuid)]
        elif what == "stop" and known is not None and not is_off:
            states[uuid] = "shutoff"
            waiting.append(event("stopped/destroyed", known, uuid))
        elif what == "rename" and known is not None and is_off and name not in names.values():
            names[uuid] = name
            waiting += renamed(known, name, uuid)
        if batch_ends:
            rig.feed(*waiting)
            waiting.clear()
    rig.feed(*waiting)
    current = {name: states[uuid] for uuid, name in names.items()}
    found = shown(rig, ("a", "b", "c", "d"))
    assert {name: state for name, state in found.items() if name in current} == current
    assert all(state == "shutoff" and name in removed for name, state in found.items() if name not in current)
    assert {name: uuid for name, uuid in uuids(rig).items() if name in current} == {
        name: uuid for uuid, name in names.items()
    }
    counted = sum("domain" in dict(labels) for _, labels in samples(rig.sink))
    assert rig.sink.series == counted
