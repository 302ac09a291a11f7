"""A restart with another domain filter adds no transition and loses no counter."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.simulated_exporter import SimulatedExporter, crash_event
from tests.unit.exposition_reader import names, value
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup

ALL, NO_DB, ONLY_WEB = DomainFilter(), DomainFilter(".*", "db.*"), DomainFilter("web.*")
WEB, DB = facts("web"), facts("db")
OTHER_HOST = "qemu+ssh://there/system"


class TestNarrowedFilter:
    def test_excluded_domains_are_dropped_without_transitions(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(
            listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False))
        )
        exporter.feed(crash_event("db"))
        exporter.names = NO_DB
        exporter.kill()
        assert names(exporter.metrics) == {"web"}
        exporter.connect_and_list(
            listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False))
        )
        assert (exporter.inferred(), exporter.all_inventory_changes()) == ([], [0, 0, 0, 0])
        assert (names(exporter.metrics), exporter.known_domains()) == ({"web"}, {"web"})
        assert [(row.name, row.event) for row in exporter.rows()] == [("db", "stopped")]

    def test_incidents_of_excluded_domain_are_closed(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        exporter.feed(crash_event("db"))
        exporter.names = NO_DB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff", "crashed")))
        assert exporter.incidents() == [("uuid-db", "crashed", False)]
        assert names(exporter.metrics) == {"web"}
        assert value(exporter.metrics, "libvirt_domain_operation_duration_seconds_count") is None

    def test_filter_reverted_before_listing_loses_nothing(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        exporter.feed(crash_event("db"))
        exporter.names = NO_DB
        exporter.kill()
        exporter.advance()
        exporter.names = ALL
        exporter.kill()
        exporter.connect_and_list(listing(facts("web", "shutoff", "crashed"), DB))
        assert sorted(exporter.inferred()) == [("db", "started", "booted"), ("web", "stopped", "crashed")]
        assert exporter.incidents()[0] == ("uuid-db", "crashed", False)

    def test_filter_reverted_after_rewrite_loses_nothing(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        exporter.names = NO_DB
        exporter.kill()
        exporter.path.unlink()
        exporter.worker.tick()
        exporter.names = ALL
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff", "crashed")))
        assert exporter.inferred() == [("db", "stopped", "crashed")]

    def test_included_again_domain_keeps_its_counters(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        exporter.feed(crash_event("db"))
        exporter.names = NO_DB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff", "crashed")))
        exporter.names = ALL
        exporter.kill()
        exporter.connect_and_list(listing(WEB, DB))
        assert (exporter.inferred(), exporter.all_inventory_changes()) == ([], [0, 0, 0, 0])
        assert exporter.crash_count("db") == 1

    def test_included_again_after_rewrite_keeps_counters(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        exporter.feed(crash_event("db"))
        exporter.names = NO_DB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff", "crashed")))
        for part in exporter.path.parent.glob(f"{exporter.path.name}*"):
            part.unlink()
        exporter.worker.tick()
        exporter.names = ALL
        exporter.kill()
        assert exporter.crash_count("db") == 1


class TestWidenedFilter:
    def test_newly_included_domains_add_no_transitions(self, exporter: SimulatedExporter) -> None:
        exporter.names = ONLY_WEB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, DB))
        exporter.names = ALL
        exporter.kill()
        exporter.connect_and_list(
            listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False))
        )
        assert (exporter.inferred(), exporter.all_inventory_changes()) == ([], [0, 0, 0, 0])
        assert names(exporter.metrics) == {"web", "db", "db-off", "db-ci"}
        assert value(exporter.metrics, "libvirt_domain_state", domain="db", state="running") == 1
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff", "crashed"), facts("new", "shutoff")))
        found = sorted(row for row in exporter.inferred() if row[0] in ("db", "new"))
        assert found == [("db", "stopped", "crashed"), ("new", "defined", "added")], "from now on"

    def test_domains_included_before_are_reconciled(self, exporter: SimulatedExporter) -> None:
        exporter.names = ONLY_WEB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("web-2")))
        exporter.names = ALL
        exporter.kill()
        exporter.connect_and_list(listing(facts("web", "shutoff", "crashed"), facts("web-3"), DB))
        assert sorted(exporter.inferred()) == [
            ("web", "stopped", "crashed"),
            ("web-2", "stopped", "unknown"),
            ("web-2", "undefined", "removed"),
            ("web-3", "defined", "added"),
            ("web-3", "started", "booted"),
        ]

    @pytest.mark.parametrize("persistent", [True, False])
    def test_event_before_first_listing_is_counted(
        self,
        persistent: bool,  # noqa: FBT001 - a parameter of the test
        exporter: SimulatedExporter,
    ) -> None:
        exporter.names = ONLY_WEB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff")))
        exporter.names = ALL
        exporter.kill()
        exporter.feed(lifecycle("resumed", "unpaused", name="db"), lifecycle("started", "booted", name="db"))
        exporter.connect_and_list(listing(WEB, facts("db", persistent=persistent)))
        assert [row.name for row in exporter.rows()] == ["db", "db"]
        assert exporter.inferred() == []
        assert exporter.all_inventory_changes() == [0 if persistent else 1, 0, 0, 0]

    def test_lookup_before_first_listing_infers_nothing(self, exporter: SimulatedExporter) -> None:
        exporter.names = ONLY_WEB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, DB))
        exporter.names = ALL
        exporter.kill()
        for _ in range(2):
            exporter.feed(lookup("db", DB))
            exporter.advance()
        exporter.feed(lookup("db", DB))
        assert exporter.inferred() == []

    def test_unlisted_connection_keeps_its_recorded_filter(self, tmp_path: Path) -> None:
        other_db = facts("db", uuid="uuid-there")
        with SimulatedExporter(tmp_path, connections=(HERE, OTHER_HOST), names=NO_DB) as exporter:
            exporter.connect_and_list(listing(WEB, DB), listing(other_db, connection=OTHER_HOST))
            exporter.names = ALL
            exporter.kill()
            exporter.connect_and_list(listing(WEB, DB))
            exporter.kill()
            exporter.connect_and_list(listing(WEB), listing(other_db, connection=OTHER_HOST))
            assert sorted(exporter.inferred()) == [
                ("db", "stopped", "unknown"),
                ("db", "undefined", "removed"),
            ]
            assert [row.connection for row in exporter.rows()] == [HERE, HERE]

    def test_missing_filter_record_reconciles_known_domains(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, DB))
        with closing(sqlite3.connect(exporter.path)) as database, database:
            database.execute("DELETE FROM scopes")
        exporter.kill()
        exporter.connect_and_list(listing(facts("web", "shutoff", "crashed"), facts("new")))
        assert sorted(exporter.inferred()) == [
            ("db", "stopped", "unknown"),
            ("db", "undefined", "removed"),
            ("web", "stopped", "crashed"),
        ]

    def test_invalid_recorded_filter_is_ignored(self, exporter: SimulatedExporter) -> None:
        """A later Python version may reject an expression that an earlier one accepted."""
        exporter.connect_and_list(listing(WEB))
        with closing(sqlite3.connect(exporter.path)) as database, database:
            database.execute("UPDATE scopes SET include = '('")
        exporter.kill()
        exporter.connect_and_list(listing(WEB, DB))
        assert exporter.inferred() == []
