"""Inferred transitions are written in a possible order: a name is released before another domain takes it."""

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, DomainFacts
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.factories import HERE, facts, listing, lookup

NUMBERS = range(8)


def off(name: str, uuid: str) -> DomainFacts:
    return facts(name, "shutoff", "destroyed", uuid=uuid)


def replacement_events(name: str) -> list[tuple[str, str, str]]:
    return [(name, "undefined", "removed"), (name, "defined", "added")]


def test_replaced_domain_ends_before_its_successor_starts(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(*(off(f"vm-{n}", f"old-{n}") for n in NUMBERS)))
    exporter.kill()
    exporter.connect_and_list(listing(*(off(f"vm-{n}", f"new-{n}") for n in NUMBERS)))
    for n in NUMBERS:
        assert [rows for rows in exporter.inferred() if rows[0] == f"vm-{n}"] == replacement_events(f"vm-{n}")


def test_replacement_order_holds_with_lookups(exporter: SimulatedExporter) -> None:
    found = {f"new-{n}": off(f"vm-{n}", f"new-{n}") for n in NUMBERS[:4]}
    exporter.connect_and_list(listing(*(off(f"vm-{n}", f"old-{n}") for n in NUMBERS[:4])))
    exporter.kill()
    exporter.message_queue.put(ConnectionUp(exporter.clock.tick(), HERE))
    exporter.feed(listing(*found.values()))
    exporter.requests.lookups.clear()
    exporter.advance()
    for uuid in exporter.requests.lookups:
        exporter.feed(lookup("", found.get(uuid))._replace(uuid=uuid))
    for n in NUMBERS[:4]:
        assert [rows for rows in exporter.inferred() if rows[0] == f"vm-{n}"] == replacement_events(f"vm-{n}")


def test_renamed_domain_frees_its_name_first(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(*(off(f"vm-{n}", f"old-{n}") for n in NUMBERS)))
    exporter.kill()
    renamed, new = (
        [off(f"was-{n}", f"old-{n}") for n in NUMBERS],
        [off(f"vm-{n}", f"new-{n}") for n in NUMBERS],
    )
    exporter.connect_and_list(listing(*new, *renamed))
    for n in NUMBERS:
        rows = [rows for rows in exporter.inferred() if rows[0].endswith(f"-{n}")]
        assert rows == [
            (f"vm-{n}", "undefined", "renamed"),
            (f"was-{n}", "defined", "renamed"),
            (f"vm-{n}", "defined", "added"),
        ]
