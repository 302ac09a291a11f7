"""State and presence of each domain, and the inventory changes of the RFC: ADDED started/defined, REMOVED
shutdown/undefined.
"""

import pytest

from libvirt_lifecycle_exporter.engine.inventory import (
    ADDED_DEFINED,
    ADDED_STARTED,
    REMOVED_SHUTDOWN,
    REMOVED_UNDEFINED,
    Inventory,
    Update,
)
from libvirt_lifecycle_exporter.engine.record import Domain, Records
from libvirt_lifecycle_exporter.model.messages import DomainDetails, DomainFacts
from libvirt_lifecycle_exporter.model.transitions import InventoryChange, Transition
from tests.unit.factories import HERE, facts, order, transition

Pair = tuple[str, str]
BOOT = (("resumed", "unpaused"), ("started", "booted"))


class RecordedInventory(Inventory):
    """An inventory and the records of its domains."""

    def __init__(self) -> None:
        self.records = Records()
        super().__init__(self.records)

    def apply_transition(self, change: Transition, order_of_arrival: int) -> Update:
        return self.apply(self.records.get(change.connection, change.uuid), change, order_of_arrival)

    def adopt_facts(self, found: DomainFacts, at: float) -> Update:
        return self.adopt(self.records.get(HERE, found.uuid), found, at)


@pytest.fixture
def inventory() -> RecordedInventory:
    """An inventory whose connection has been listed, without domains."""
    made = RecordedInventory()
    made.note_listed(HERE, order(), 0.0)
    return made


def apply(inventory: RecordedInventory, *pairs: Pair, name: str = "web") -> list[InventoryChange]:
    return [
        change
        for number, (event, reason) in enumerate(pairs)
        for change in inventory.apply_transition(
            transition(event, reason, name=name, at=1000.0 + number), order()
        ).changes
    ]


def web(inventory: RecordedInventory) -> Domain:
    found = inventory.find(HERE, "uuid-web")
    assert found is not None
    return found


def test_transient_domain_is_added_and_removed_by_its_run(inventory: RecordedInventory) -> None:
    assert apply(inventory, *BOOT) == [ADDED_STARTED]
    assert apply(inventory, ("shutdown", "guest"), ("stopped", "shutdown")) == [REMOVED_SHUTDOWN]
    assert not web(inventory).present


def test_persistent_domain_is_added_and_removed_by_definition(inventory: RecordedInventory) -> None:
    assert apply(inventory, ("defined", "added")) == [ADDED_DEFINED]
    assert apply(inventory, *BOOT, ("stopped", "destroyed"), *BOOT, ("stopped", "crashed")) == []
    assert apply(inventory, ("undefined", "removed")) == [REMOVED_UNDEFINED]


def test_domain_undefined_while_running_becomes_transient(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"), *BOOT)
    assert apply(inventory, ("undefined", "removed")) == []
    assert web(inventory).present
    assert apply(inventory, ("stopped", "destroyed")) == [REMOVED_SHUTDOWN]


def test_domain_made_persistent_stays_when_it_stops(inventory: RecordedInventory) -> None:
    assert apply(inventory, *BOOT, ("defined", "added")) == [ADDED_STARTED]
    assert apply(inventory, ("stopped", "destroyed")) == []
    assert apply(inventory, ("undefined", "removed")) == [REMOVED_UNDEFINED]


def test_rename_adds_and_removes_nothing(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"))
    old = inventory.apply_transition(transition("undefined", "renamed"), order())
    assert (old.domain.name, old.changes, old.domain.present, old.old_name) == ("web", [], True, None)
    new = inventory.apply_transition(transition("defined", "renamed", name="www", uuid="uuid-web"), order())
    assert (new.domain.name, new.changes, new.old_name) == ("www", [], "web")
    assert new.domain is old.domain


def test_migration_adds_and_removes_a_transient_domain(inventory: RecordedInventory) -> None:
    assert apply(inventory, ("started", "migrated"), ("resumed", "migrated")) == [ADDED_STARTED]
    assert apply(inventory, ("stopped", "migrated")) == [REMOVED_SHUTDOWN]


def test_domain_that_never_ran_is_not_added_or_removed(inventory: RecordedInventory) -> None:
    """An incoming migration that libvirt refuses: 11.3 sends only shutdown/host."""
    assert apply(inventory, ("shutdown", "host")) == []
    assert apply(inventory, ("stopped", "failed"), name="db") == []


def test_domains_of_the_first_listing_are_not_added() -> None:
    inventory = RecordedInventory()
    for found in (facts("web"), facts("db", persistent=False)):
        assert inventory.adopt_facts(found, 1000.0).changes == []
    assert web(inventory).persistent


def test_early_event_of_a_persistent_domain_adds_nothing() -> None:
    inventory = RecordedInventory()
    assert apply(inventory, *BOOT) == []
    assert inventory.adopt_facts(facts("web"), 1000.0).changes == []


def test_early_event_adds_a_transient_domain_later() -> None:
    inventory = RecordedInventory()
    assert apply(inventory, *BOOT) == []
    assert inventory.adopt_facts(facts("web", persistent=False), 1000.0).changes == [ADDED_STARTED]
    assert apply(inventory, ("stopped", "destroyed")) == [REMOVED_SHUTDOWN]


def test_transient_domain_stopped_before_listing_is_removed() -> None:
    inventory = RecordedInventory()
    assert apply(inventory, ("stopped", "destroyed")) == []
    assert inventory.remove_unlisted(web(inventory), 1000.0) == [REMOVED_SHUTDOWN]


def test_events_set_the_state_and_its_time(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"), *BOOT)
    domain = web(inventory)
    assert (domain.state, domain.reason, domain.since) == ("running", "booted", 1002.0)
    inventory.apply_transition(transition("suspended", "ioerror", at=2000.0), order())
    assert (domain.state, domain.reason, domain.since) == ("paused", "ioerror", 2000.0)


def test_detail_of_libvirt_sets_the_state(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"), *BOOT)
    killed = transition("stopped", "crashed")._replace(detail="failed")
    assert inventory.apply_transition(killed, order()).domain.reason == "failed"


def test_answer_adds_what_no_event_reports(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"), *BOOT)
    domain = web(inventory)
    assert inventory.refine(domain, facts("web", "running", "wakeup"), DomainDetails("kvm", "", None))
    assert (domain.reason, domain.since, domain.autostart) == ("wakeup", 1002.0, False)
    assert not inventory.refine(domain, facts("web", "running", "wakeup"), None)
    assert domain.details == DomainDetails("kvm", "", None)


def test_each_run_has_its_own_id(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"), *BOOT)
    first = web(inventory).run_id
    inventory.apply_transition(transition("stopped", "destroyed", at=1500.0), order())
    assert web(inventory).run_id == first
    inventory.apply_transition(transition("started", "booted", at=2000.0), order())
    assert first != web(inventory).run_id != ""


def test_details_are_kept_for_a_domain_that_returns(inventory: RecordedInventory) -> None:
    details = DomainDetails("kvm", "front page", None)
    apply(inventory, *BOOT)
    inventory.refine(web(inventory), facts("web", persistent=False), details)
    apply(inventory, ("stopped", "destroyed"))
    assert web(inventory).details == details
    assert apply(inventory, *BOOT) == [ADDED_STARTED]
    assert web(inventory).details == details


def test_domains_are_restored_after_a_restart(inventory: RecordedInventory) -> None:
    apply(inventory, ("defined", "added"))
    again = RecordedInventory()
    again.restore(inventory.all(), {HERE: lambda _: True})
    assert again.covers(HERE, None, "db")
    assert again.apply_transition(transition("started", "booted"), order()).changes == []


def test_removed_domains_are_listed_by_time(inventory: RecordedInventory) -> None:
    apply(inventory, *BOOT, ("stopped", "destroyed"))
    assert inventory.removed_before(1002.0) == []
    apply(inventory, ("undefined", "removed"), name="other")
    assert [domain.name for domain in inventory.removed_before(1003.0)] == ["web", "other"]


def test_listed_domain_exists_despite_earlier_events() -> None:
    """The domain ran before the first listing, and its definition was removed."""
    inventory = RecordedInventory()
    apply(inventory, ("undefined", "removed"))
    assert not web(inventory).present
    inventory.adopt_facts(facts("web", persistent=False), 1000.0)
    assert (web(inventory).present, web(inventory).state) == (True, "running")
