"""What was missed is written in the order of what must have happened: a name is free before it is taken."""

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, DomainFacts
from tests.journal.life import Life
from tests.unit.seen import HERE, facts, look, snapshot

MANY = range(8)


def off(name: str, uuid: str) -> DomainFacts:
    return facts(name, "shutoff", "destroyed", uuid=uuid)


def replaced(name: str) -> list[tuple[str, str, str]]:
    return [(name, "undefined", "removed"), (name, "defined", "added")]


def test_replaced_domain_ends_before_its_successor_starts(life: Life) -> None:
    life.lists(snapshot(*(off(f"vm-{n}", f"old-{n}") for n in MANY)))
    life.is_killed()
    life.lists(snapshot(*(off(f"vm-{n}", f"new-{n}") for n in MANY)))
    for n in MANY:
        assert [told for told in life.inferred() if told[0] == f"vm-{n}"] == replaced(f"vm-{n}")


def test_replacement_order_holds_with_lookups(life: Life) -> None:
    found = {f"new-{n}": off(f"vm-{n}", f"new-{n}") for n in MANY[:4]}
    life.lists(snapshot(*(off(f"vm-{n}", f"old-{n}") for n in MANY[:4])))
    life.is_killed()
    life.message_queue.put(ConnectionUp(life.clock.tick(), HERE))
    life.feed(snapshot(*found.values()))
    life.asked.looks.clear()
    life.later()
    for uuid in life.asked.looks:
        life.feed(look("", found.get(uuid))._replace(uuid=uuid))
    for n in MANY[:4]:
        assert [told for told in life.inferred() if told[0] == f"vm-{n}"] == replaced(f"vm-{n}")


def test_renamed_domain_frees_its_name_first(life: Life) -> None:
    life.lists(snapshot(*(off(f"vm-{n}", f"old-{n}") for n in MANY)))
    life.is_killed()
    renamed, new = [off(f"was-{n}", f"old-{n}") for n in MANY], [off(f"vm-{n}", f"new-{n}") for n in MANY]
    life.lists(snapshot(*new, *renamed))
    for n in MANY:
        told = [told for told in life.inferred() if told[0].endswith(f"-{n}")]
        assert told == [
            (f"vm-{n}", "undefined", "renamed"),
            (f"was-{n}", "defined", "renamed"),
            (f"vm-{n}", "defined", "added"),
        ]
