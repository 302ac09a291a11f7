"""What was missed is written in the order of what must have happened: a name is free before it is taken."""

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, DomainFacts
from tests.journal.life import Life
from tests.unit.factories import HERE, facts, listing, lookup

MANY = range(8)


def off(name: str, uuid: str) -> DomainFacts:
    return facts(name, "shutoff", "destroyed", uuid=uuid)


def replaced(name: str) -> list[tuple[str, str, str]]:
    return [(name, "undefined", "removed"), (name, "defined", "added")]


def test_a_domain_that_was_replaced_ended_before_its_successor_began(life: Life) -> None:
    life.lists(listing(*(off(f"vm-{n}", f"old-{n}") for n in MANY)))
    life.kill()
    life.lists(listing(*(off(f"vm-{n}", f"new-{n}") for n in MANY)))
    for n in MANY:
        assert [told for told in life.inferred() if told[0] == f"vm-{n}"] == replaced(f"vm-{n}")


def test_also_where_libvirt_is_asked_about_each_again(life: Life) -> None:
    found = {f"new-{n}": off(f"vm-{n}", f"new-{n}") for n in MANY[:4]}
    life.lists(listing(*(off(f"vm-{n}", f"old-{n}") for n in MANY[:4])))
    life.kill()
    life.message_queue.put(ConnectionUp(life.clock.tick(), HERE))
    life.feed(listing(*found.values()))
    life.requests.lookups.clear()
    life.later()
    for uuid in life.requests.lookups:
        life.feed(lookup("", found.get(uuid))._replace(uuid=uuid))
    for n in MANY[:4]:
        assert [told for told in life.inferred() if told[0] == f"vm-{n}"] == replaced(f"vm-{n}")


def test_a_name_is_left_before_another_takes_it(life: Life) -> None:
    life.lists(listing(*(off(f"vm-{n}", f"old-{n}") for n in MANY)))
    life.kill()
    renamed, new = [off(f"was-{n}", f"old-{n}") for n in MANY], [off(f"vm-{n}", f"new-{n}") for n in MANY]
    life.lists(listing(*new, *renamed))
    for n in MANY:
        told = [told for told in life.inferred() if told[0].endswith(f"-{n}")]
        assert told == [
            (f"vm-{n}", "undefined", "renamed"),
            (f"was-{n}", "defined", "renamed"),
            (f"vm-{n}", "defined", "added"),
        ]
