"""Every removal of a domain closes its incidents, in the journal and on the metrics page."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.model.messages import ConnectionUp, Observation
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.exposition_reader import samples
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup

OPEN = "libvirt_domain_incident_open"


def is_open(exporter: SimulatedExporter) -> list[object]:
    """Return the open incidents in the journal and on the metrics page."""
    shown = [
        labels for (name, labels), is_set in samples(exporter.metrics).items() if name == OPEN and is_set
    ]
    return [*(one for one in exporter.incidents() if one[2]), *shown]


def events(*pairs: str) -> list[Observation]:
    return [lifecycle(*pair.split("/")) for pair in pairs]


@pytest.mark.parametrize(
    "pairs",
    [("stopped/failed",), ("stopped/crashed",), ("crashed/panicked",), ("suspended/ioerror",)],
    ids=lambda pairs: pairs[0],
)
def test_transient_failing_during_first_listing_is_closed(pairs: Sequence[str], tmp_path: Path) -> None:
    with SimulatedExporter(tmp_path) as exporter:
        exporter.message_queue.put(ConnectionUp(exporter.clock.tick(), HERE))
        exporter.feed(*events(*pairs))
        exporter.advance()
        assert is_open(exporter)
        exporter.feed(listing())
        assert is_open(exporter) == []
        exporter.kill()
        assert is_open(exporter) == []


def test_incident_of_a_domain_that_is_not_found_is_closed(tmp_path: Path) -> None:
    """An event names a domain that the following lookup does not find."""
    with SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(listing())
        exporter.advance(10.0)
        exporter.feed(*events("stopped/crashed"))
        assert is_open(exporter)
        exporter.feed(lookup("web", None))
        assert is_open(exporter) == []


def test_incident_of_an_unseen_removal_is_closed(tmp_path: Path) -> None:
    with SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(listing(facts("web")))
        exporter.feed(*events("stopped/crashed"))
        assert is_open(exporter)
        exporter.connect_and_list(listing())
        assert is_open(exporter) == []


def test_incident_without_a_domain_is_closed_at_restart(tmp_path: Path) -> None:
    """An earlier version may have left such a row."""
    with SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(listing(facts("web")))
        exporter.feed(*events("stopped/crashed"))
        with closing(sqlite3.connect(exporter.path)) as database, database:
            database.execute("DELETE FROM domains")
        exporter.kill()
        exporter.tick()
        assert is_open(exporter) == []
        assert [one[:2] for one in exporter.incidents()] == [("uuid-web", "crashed")]


def test_incident_of_a_removed_domain_is_closed_at_restart(tmp_path: Path) -> None:
    with SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(listing(facts("web")))
        exporter.feed(*events("stopped/crashed", "undefined/removed"))
        with closing(sqlite3.connect(exporter.path)) as database, database:
            database.execute("UPDATE incidents SET closed_at = NULL")
        exporter.kill()
        exporter.tick()
        assert is_open(exporter) == []


def test_stop_that_removes_a_hung_domain_joins_the_hang(tmp_path: Path) -> None:
    """The stop that removes a hung domain belongs to the hang, although its reason is known later."""
    with SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(listing(facts("web", persistent=False)))
        exporter.feed(*events("suspended/watchdog", "stopped/failed"))
        assert is_open(exporter)
        exporter.advance()
        assert is_open(exporter) == []
        kinds = sorted(kind for _, kind, _ in exporter.incidents())
        assert kinds == ["crashed", "hung"]
