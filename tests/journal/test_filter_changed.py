"""Another filter in the next life: no transition comes of it, and no counter is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.life import Life, crashed
from tests.unit.exposition_reader import names, value
from tests.unit.seen import HERE, facts, lifecycle, look, snapshot

ALL, NO_DB, ONLY_WEB = DomainFilter(), DomainFilter(".*", "db.*"), DomainFilter("web.*")
WEB, DB = facts("web"), facts("db")
THERE = "qemu+ssh://there/system"


class TestNarrower:
    def test_excluded_domains_are_dropped_without_transitions(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.is_killed()
        assert names(life.sink) == {"web"}
        life.lists(snapshot(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert (names(life.sink), life.known()) == ({"web"}, {"web"})
        assert [(row.name, row.event) for row in life.rows()] == [("db", "stopped")]

    def test_incidents_of_excluded_domain_are_closed(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff", "crashed")))
        assert life.incidents() == [("uuid-db", "crashed", False)]
        assert names(life.sink) == {"web"}
        assert value(life.sink, "libvirt_domain_operation_duration_seconds_count") is None

    def test_filter_reverted_before_listing_loses_nothing(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.is_killed()
        life.later()
        life.names = ALL
        life.is_killed()
        life.lists(snapshot(facts("web", "shutoff", "crashed"), DB))
        assert sorted(life.inferred()) == [("db", "started", "booted"), ("web", "stopped", "crashed")]
        assert life.incidents()[0] == ("uuid-db", "crashed", False)

    def test_filter_reverted_after_rewrite_loses_nothing(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        life.names = NO_DB
        life.is_killed()
        life.path.unlink()
        life.worker.tick()
        life.names = ALL
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff", "crashed")))
        assert life.inferred() == [("db", "stopped", "crashed")]

    def test_included_again_domain_keeps_its_counters(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff", "crashed")))
        life.names = ALL
        life.is_killed()
        life.lists(snapshot(WEB, DB))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert life.crashes("db") == 1

    def test_included_again_after_rewrite_keeps_counters(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff", "crashed")))
        for part in life.path.parent.glob(f"{life.path.name}*"):
            part.unlink()
        life.worker.tick()
        life.names = ALL
        life.is_killed()
        assert life.crashes("db") == 1


class TestWider:
    def test_newly_included_domains_add_no_transitions(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.is_killed()
        life.lists(snapshot(WEB, DB))
        life.names = ALL
        life.is_killed()
        life.lists(snapshot(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert names(life.sink) == {"web", "db", "db-off", "db-ci"}
        assert value(life.sink, "libvirt_domain_state", domain="db", state="running") == 1
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff", "crashed"), facts("new", "shutoff")))
        found = sorted(told for told in life.inferred() if told[0] in ("db", "new"))
        assert found == [("db", "stopped", "crashed"), ("new", "defined", "added")], "from now on"

    def test_domains_included_before_are_reconciled(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.is_killed()
        life.lists(snapshot(WEB, facts("web-2")))
        life.names = ALL
        life.is_killed()
        life.lists(snapshot(facts("web", "shutoff", "crashed"), facts("web-3"), DB))
        assert sorted(life.inferred()) == [
            ("web", "stopped", "crashed"),
            ("web-2", "stopped", "unknown"),
            ("web-2", "undefined", "removed"),
            ("web-3", "defined", "added"),
            ("web-3", "started", "booted"),
        ]

    @pytest.mark.parametrize("persistent", [True, False])
    def test_event_before_first_listing_is_counted(self, persistent: bool, life: Life) -> None:  # noqa: FBT001
        life.names = ONLY_WEB
        life.is_killed()
        life.lists(snapshot(WEB, facts("db", "shutoff")))
        life.names = ALL
        life.is_killed()
        life.feed(lifecycle("resumed", "unpaused", name="db"), lifecycle("started", "booted", name="db"))
        life.lists(snapshot(WEB, facts("db", persistent=persistent)))
        assert [row.name for row in life.rows()] == ["db", "db"]
        assert life.inferred() == []
        assert life.all_changes() == [0 if persistent else 1, 0, 0, 0]

    def test_lookup_before_first_listing_infers_nothing(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.is_killed()
        life.lists(snapshot(WEB, DB))
        life.names = ALL
        life.is_killed()
        for _ in range(2):
            life.feed(look("db", DB))
            life.later()
        life.feed(look("db", DB))
        assert life.inferred() == []

    def test_unlisted_connection_keeps_its_recorded_filter(self, tmp_path: Path) -> None:
        there = facts("db", uuid="uuid-there")
        with Life(tmp_path, connections=(HERE, THERE), names=NO_DB) as life:
            life.lists(snapshot(WEB, DB), snapshot(there, connection=THERE))
            life.names = ALL
            life.is_killed()
            life.lists(snapshot(WEB, DB))
            life.is_killed()
            life.lists(snapshot(WEB), snapshot(there, connection=THERE))
            assert sorted(life.inferred()) == [("db", "stopped", "unknown"), ("db", "undefined", "removed")]
            assert [row.connection for row in life.rows()] == [HERE, HERE]

    def test_missing_filter_record_reconciles_known_domains(self, life: Life) -> None:
        life.lists(snapshot(WEB, DB))
        with closing(sqlite3.connect(life.path)) as database, database:
            database.execute("DELETE FROM scopes")
        life.is_killed()
        life.lists(snapshot(facts("web", "shutoff", "crashed"), facts("new")))
        assert sorted(life.inferred()) == [
            ("db", "stopped", "unknown"),
            ("db", "undefined", "removed"),
            ("web", "stopped", "crashed"),
        ]

    def test_invalid_recorded_filter_is_ignored(self, life: Life) -> None:
        """Python may read the same expression otherwise one day."""
        life.lists(snapshot(WEB))
        with closing(sqlite3.connect(life.path)) as database, database:
            database.execute("UPDATE scopes SET include = '('")
        life.is_killed()
        life.lists(snapshot(WEB, DB))
        assert life.inferred() == []
