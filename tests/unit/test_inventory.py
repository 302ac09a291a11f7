"""What is known of each domain, and the RFC's ADDED started/defined, REMOVED shutdown/undefined."""

import pytest

from libvirt_lifecycle_exporter.inventory import (
    ADDED_DEFINED,
    ADDED_STARTED,
    REMOVED_SHUTDOWN,
    REMOVED_UNDEFINED,
    Domain,
    Inventory,
)
from libvirt_lifecycle_exporter.transition import DomainDetails, InventoryChange
from tests.unit.seen import HERE, facts, look, order, snapshot, transition

Pair = tuple[str, str]


@pytest.fixture
def inventory() -> Inventory:
    """One whose connection has been listed: nothing is there."""
    made = Inventory()
    made.take(snapshot())
    return made


def live(inventory: Inventory, *pairs: Pair, name: str = "web") -> list[InventoryChange]:
    return [
        change
        for number, (event, reason) in enumerate(pairs)
        for change in inventory.apply(transition(event, reason, name=name, at=1000.0 + number), order())[1]
    ]


def web(inventory: Inventory) -> Domain:
    found = inventory.find(HERE, "uuid-web")
    assert found is not None
    return found


BOOT = (("resumed", "unpaused"), ("started", "booted"))


def test_a_transient_domain_is_added_by_its_start_and_removed_by_its_end(inventory: Inventory) -> None:
    assert live(inventory, *BOOT) == [ADDED_STARTED]
    assert live(inventory, ("shutdown", "guest"), ("stopped", "shutdown")) == [REMOVED_SHUTDOWN]
    assert not web(inventory).present


def test_a_persistent_domain_is_added_and_removed_by_its_definition(inventory: Inventory) -> None:
    assert live(inventory, ("defined", "added")) == [ADDED_DEFINED]
    assert live(inventory, *BOOT, ("stopped", "destroyed"), *BOOT, ("stopped", "crashed")) == []
    assert live(inventory, ("undefined", "removed")) == [REMOVED_UNDEFINED]


def test_a_domain_undefined_while_running_ends_as_a_transient_one(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), *BOOT)
    assert live(inventory, ("undefined", "removed")) == []
    assert web(inventory).present
    assert live(inventory, ("stopped", "destroyed")) == [REMOVED_SHUTDOWN]


def test_a_transient_domain_made_persistent_stays_when_it_stops(inventory: Inventory) -> None:
    assert live(inventory, *BOOT, ("defined", "added")) == [ADDED_STARTED]
    assert live(inventory, ("stopped", "destroyed")) == []
    assert live(inventory, ("undefined", "removed")) == [REMOVED_UNDEFINED]


def test_a_rename_adds_and_removes_nothing(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"))
    old, changes = inventory.apply(transition("undefined", "renamed"), order())
    assert (old.name, changes, old.present) == ("web", [], True)
    new, changes = inventory.apply(transition("defined", "renamed", name="www", uuid="uuid-web"), order())
    assert (new.name, changes) == ("www", [])
    assert new is old


def test_a_migration_in_adds_and_a_migration_out_removes_a_transient_domain(inventory: Inventory) -> None:
    assert live(inventory, ("started", "migrated"), ("resumed", "migrated")) == [ADDED_STARTED]
    assert live(inventory, ("stopped", "migrated")) == [REMOVED_SHUTDOWN]


def test_domains_that_were_there_before_are_not_added() -> None:
    inventory = Inventory()
    assert inventory.take(snapshot(facts("web"), facts("db", persistent=False)))[1] == []


def test_an_early_event_of_a_persistent_domain_adds_nothing() -> None:
    inventory = Inventory()
    assert live(inventory, *BOOT) == []
    assert inventory.take(snapshot(facts("web")))[1] == []


def test_an_early_event_of_a_transient_domain_adds_it_once_it_is_known_to_be_one() -> None:
    inventory = Inventory()
    assert live(inventory, *BOOT) == []
    assert inventory.take(snapshot(facts("web", persistent=False)))[1] == [ADDED_STARTED]
    assert live(inventory, ("stopped", "destroyed")) == [REMOVED_SHUTDOWN]


def test_an_answer_that_overtakes_the_event_is_not_counted_twice(inventory: Inventory) -> None:
    live(inventory, *BOOT)
    assert inventory.correct(look("web", None))[1] == []
    assert live(inventory, ("stopped", "destroyed")) == [REMOVED_SHUTDOWN]
    assert inventory.correct(look("web", None))[1] == []


def test_an_undefine_told_after_the_domain_was_found_gone_is_counted_once(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), ("defined", "updated"))
    inventory.correct(look("web", None))
    assert live(inventory, ("undefined", "removed")) == [REMOVED_UNDEFINED]


def test_a_domain_that_never_ran_is_neither_added_nor_removed(inventory: Inventory) -> None:
    """An incoming migration that libvirt refuses: 11.3 tells shutdown/host, and nothing before or after."""
    assert live(inventory, ("shutdown", "host")) == []
    assert inventory.correct(look("web", None))[1] == []
    assert live(inventory, ("stopped", "failed"), name="db") == []
    assert inventory.correct(look("db", None))[1] == []


def test_a_transient_domain_that_was_there_before_and_ends_before_the_listing_is_removed() -> None:
    inventory = Inventory()
    assert live(inventory, ("stopped", "destroyed")) == []
    assert inventory.take(snapshot())[1] == [REMOVED_SHUTDOWN]


def test_events_set_the_state_and_its_time(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), *BOOT)
    domain = web(inventory)
    assert (domain.state, domain.reason, domain.since) == ("running", "booted", 1001.0)
    inventory.apply(transition("suspended", "ioerror", at=2000.0), order())
    assert (domain.state, domain.reason, domain.since) == ("paused", "ioerror", 2000.0)


def test_a_new_reason_for_the_same_state_does_not_move_its_time(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), *BOOT)
    inventory.correct(look("web", facts("web", "running", "wakeup"), at=5000.0))
    assert (web(inventory).reason, web(inventory).since) == ("wakeup", 1001.0)


def test_a_listing_that_began_before_an_event_does_not_undo_it(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), *BOOT)
    began = order()
    live(inventory, ("stopped", "destroyed"))
    assert inventory.take(snapshot(facts("web", "running"), began=began))[0] == []
    assert web(inventory).state == "shutoff"
    assert inventory.correct(look("web", facts("web", "running"), began=began)) == (None, [])
    assert web(inventory).state == "shutoff"


def test_a_listing_that_began_before_a_domain_appeared_does_not_remove_it(inventory: Inventory) -> None:
    began = order()
    live(inventory, ("defined", "added"))
    inventory.take(snapshot(began=began))
    assert web(inventory).present


def test_a_listing_that_began_before_a_domain_ended_does_not_bring_it_back(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"))
    began = order()
    live(inventory, ("undefined", "removed"))
    assert inventory.take(snapshot(facts("web", "shutoff"), began=began)) == ([], [])
    assert not web(inventory).present


def test_a_listing_tells_what_happened_unseen(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"), *BOOT)
    touched, _ = inventory.take(snapshot(facts("web", "shutoff", "crashed"), at=7000.0))
    assert [(one.state, one.reason, one.since) for one in touched] == [("shutoff", "crashed", 7000.0)]
    touched, _ = inventory.take(snapshot(at=8000.0))
    assert [(one.present, one.removed_at) for one in touched] == [(False, 8000.0)]


def test_one_connection_says_nothing_about_the_domains_of_another(inventory: Inventory) -> None:
    live(inventory, ("defined", "added"))
    inventory.take(snapshot(connection="lxc:///system"))
    assert web(inventory).present


def test_details_outlive_the_domain_and_come_back_with_it(inventory: Inventory) -> None:
    details = DomainDetails("kvm", "front page", None)
    live(inventory, *BOOT)
    inventory.correct(look("web", facts("web", persistent=False), details=details))
    live(inventory, ("stopped", "destroyed"))
    assert web(inventory).details == details
    assert live(inventory, *BOOT) == [ADDED_STARTED]
    assert web(inventory).details == details


def test_what_is_long_gone_is_forgotten(inventory: Inventory) -> None:
    live(inventory, *BOOT, ("stopped", "destroyed"))
    assert inventory.forget(1002.0) == []
    assert [domain.name for domain in inventory.forget(1003.0)] == ["web"]
    assert inventory.find(HERE, "uuid-web") is None
