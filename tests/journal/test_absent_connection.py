"""A connection that is not configured for some time keeps its counters and its state."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.database_file import Lock
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Listing
from tests.journal.simulated_exporter import SimulatedExporter, crash_event
from tests.journal.values import set_aside_files
from tests.unit.exposition_reader import names, value
from tests.unit.factories import HERE, facts, lifecycle, listing

ONLY_WEB = DomainFilter("web.*")
WEB, DB = facts("web"), facts("db")
OTHER_HOST = "qemu+ssh://there/system"


def on_other_host(found: DomainFacts) -> DomainFacts:
    return found._replace(uuid=f"there-{found.uuid}")


BOTH: tuple[Listing, Listing] = (listing(WEB), listing(on_other_host(DB), connection=OTHER_HOST))


def delete_files(exporter: SimulatedExporter) -> None:
    for part in exporter.path.parent.glob(f"{exporter.path.name}*"):
        part.unlink()
    exporter.worker.tick()


def corrupt_file(exporter: SimulatedExporter) -> None:
    with exporter.path.open("r+b") as file:
        file.write(b"garbage " * 1000)
    for number in range(20):
        exporter.feed(lifecycle("defined", "updated", name=f"vm-{number}"))
        exporter.worker.tick()
    exporter.journal.corruption = sqlite3.DatabaseError("made up")
    exporter.journal.corruption.sqlite_errorname = "SQLITE_CORRUPT"
    exporter.worker.tick()
    assert set_aside_files(exporter.path)


@pytest.mark.parametrize("fault", [delete_files, corrupt_file])
def test_absent_connection_keeps_its_counters(
    fault: Callable[[SimulatedExporter], None], tmp_path: Path
) -> None:
    with SimulatedExporter(tmp_path, connections=(HERE, OTHER_HOST)) as exporter:
        exporter.connect_and_list(*BOTH)
        exporter.feed(crash_event("db")._replace(connection=OTHER_HOST, uuid="there-uuid-db"))
        before = exporter.saved_state().only([OTHER_HOST])
        exporter.connections = (HERE,)
        exporter.kill()
        exporter.connect_and_list(BOTH[0])
        fault(exporter)
        assert exporter.saved_state().only([OTHER_HOST]) == before
        exporter.connections = (HERE, OTHER_HOST)
        exporter.kill()
        assert exporter.crash_count("db", OTHER_HOST) == 1
        assert (
            value(
                exporter.metrics,
                "libvirt_domain_incident_open",
                domain="db",
                kind="crashed",
                connection=OTHER_HOST,
            )
            == 1
        )
        exporter.connect_and_list(BOTH[0], listing(on_other_host(DB), connection=OTHER_HOST))
        assert [row for row in exporter.inferred() if row[0] == "db"] == [("db", "started", "booted")]


def test_journal_locked_at_start_keeps_other_connections(
    tmp_path: Path,
) -> None:
    with SimulatedExporter(tmp_path, connections=(HERE, OTHER_HOST)) as exporter:
        exporter.connect_and_list(*BOTH)
        exporter.feed(crash_event("db")._replace(connection=OTHER_HOST, uuid="there-uuid-db"))
        exporter.feed(crash_event("web"), lifecycle("started", "booted"), crash_event("web"))
        before = exporter.saved_state()
        exporter.connections, exporter.names = (HERE,), ONLY_WEB
        exporter.journal.close()
        other = Lock(exporter.path)
        exporter.stop()
        assert names(exporter.metrics) == set()
        other.close()
        exporter.feed(crash_event("web"))
        exporter.worker.tick()
        assert exporter.journal.is_open()
        assert exporter.saved_state().only([OTHER_HOST]) == before.only([OTHER_HOST])
        assert exporter.saved_state().counts[HERE, "web", "stopped", "crashed"][0] == 1
        totals = exporter.saved_state().only([HERE]).totals
        assert totals == {key: total for key, total in exporter.exported_counts().totals.items() if total}
        assert totals[HERE, "event", "stopped", "crashed"] == 1
