"""Another filter in the next life: no transition comes of it, and no counter is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.life import Life, crashed
from tests.unit.exposition_reader import names, value
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup

ALL, NO_DB, ONLY_WEB = DomainFilter(), DomainFilter(".*", "db.*"), DomainFilter("web.*")
WEB, DB = facts("web"), facts("db")
THERE = "qemu+ssh://there/system"


class TestNarrower:
    def test_what_left_the_view_is_dropped_and_counts_as_nothing(self, life: Life) -> None:
        life.lists(listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.kill()
        assert names(life.metrics) == {"web"}
        life.lists(listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert (names(life.metrics), life.known()) == ({"web"}, {"web"})
        assert [(row.name, row.event) for row in life.rows()] == [("db", "stopped")]

    def test_nobody_waits_for_its_incidents(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff", "crashed")))
        assert life.incidents() == [("uuid-db", "crashed", False)]
        assert names(life.metrics) == {"web"}
        assert value(life.metrics, "libvirt_domain_operation_duration_seconds_count") is None

    def test_set_right_before_a_listing_nothing_is_lost(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.kill()
        life.later()
        life.names = ALL
        life.kill()
        life.lists(listing(facts("web", "shutoff", "crashed"), DB))
        assert sorted(life.inferred()) == [("db", "started", "booted"), ("web", "stopped", "crashed")]
        assert life.incidents()[0] == ("uuid-db", "crashed", False)

    def test_set_right_after_the_journal_was_written_anew_nothing_is_lost(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        life.names = NO_DB
        life.kill()
        life.path.unlink()
        life.worker.tick()
        life.names = ALL
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff", "crashed")))
        assert life.inferred() == [("db", "stopped", "crashed")]

    def test_and_wide_again_its_counters_go_on(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff", "crashed")))
        life.names = ALL
        life.kill()
        life.lists(listing(WEB, DB))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert life.crashes("db") == 1

    def test_and_wide_again_also_if_the_journal_was_written_anew(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        life.feed(crashed("db"))
        life.names = NO_DB
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff", "crashed")))
        for part in life.path.parent.glob(f"{life.path.name}*"):
            part.unlink()
        life.worker.tick()
        life.names = ALL
        life.kill()
        assert life.crashes("db") == 1


class TestWider:
    def test_what_comes_into_view_counts_as_nothing(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.kill()
        life.lists(listing(WEB, DB))
        life.names = ALL
        life.kill()
        life.lists(listing(WEB, DB, facts("db-off", "shutoff"), facts("db-ci", persistent=False)))
        assert (life.inferred(), life.all_changes()) == ([], [0, 0, 0, 0])
        assert names(life.metrics) == {"web", "db", "db-off", "db-ci"}
        assert value(life.metrics, "libvirt_domain_state", domain="db", state="running") == 1
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff", "crashed"), facts("new", "shutoff")))
        found = sorted(told for told in life.inferred() if told[0] in ("db", "new"))
        assert found == [("db", "stopped", "crashed"), ("new", "defined", "added")], "from now on"

    def test_what_was_in_view_before_is_compared(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.kill()
        life.lists(listing(WEB, facts("web-2")))
        life.names = ALL
        life.kill()
        life.lists(listing(facts("web", "shutoff", "crashed"), facts("web-3"), DB))
        assert sorted(life.inferred()) == [
            ("web", "stopped", "crashed"),
            ("web-2", "stopped", "unknown"),
            ("web-2", "undefined", "removed"),
            ("web-3", "defined", "added"),
            ("web-3", "started", "booted"),
        ]

    @pytest.mark.parametrize("persistent", [True, False])
    def test_an_event_before_the_listing_is_one(self, persistent: bool, life: Life) -> None:  # noqa: FBT001
        life.names = ONLY_WEB
        life.kill()
        life.lists(listing(WEB, facts("db", "shutoff")))
        life.names = ALL
        life.kill()
        life.feed(lifecycle("resumed", "unpaused", name="db"), lifecycle("started", "booted", name="db"))
        life.lists(listing(WEB, facts("db", persistent=persistent)))
        assert [row.name for row in life.rows()] == ["db", "db"]
        assert life.inferred() == []
        assert life.all_changes() == [0 if persistent else 1, 0, 0, 0]

    def test_a_look_before_the_listing_proves_nothing(self, life: Life) -> None:
        life.names = ONLY_WEB
        life.kill()
        life.lists(listing(WEB, DB))
        life.names = ALL
        life.kill()
        for _ in range(2):
            life.feed(lookup("db", DB))
            life.later()
        life.feed(lookup("db", DB))
        assert life.inferred() == []

    def test_a_connection_that_was_not_listed_since_keeps_the_view_that_it_had(self, tmp_path: Path) -> None:
        there = facts("db", uuid="uuid-there")
        with Life(tmp_path, connections=(HERE, THERE), names=NO_DB) as life:
            life.lists(listing(WEB, DB), listing(there, connection=THERE))
            life.names = ALL
            life.kill()
            life.lists(listing(WEB, DB))
            life.kill()
            life.lists(listing(WEB), listing(there, connection=THERE))
            assert sorted(life.inferred()) == [("db", "stopped", "unknown"), ("db", "undefined", "removed")]
            assert [row.connection for row in life.rows()] == [HERE, HERE]

    def test_a_journal_that_does_not_know_the_view_compares_what_it_knows(self, life: Life) -> None:
        life.lists(listing(WEB, DB))
        with closing(sqlite3.connect(life.path)) as database, database:
            database.execute("DELETE FROM scopes")
        life.kill()
        life.lists(listing(facts("web", "shutoff", "crashed"), facts("new")))
        assert sorted(life.inferred()) == [
            ("db", "stopped", "unknown"),
            ("db", "undefined", "removed"),
            ("web", "stopped", "crashed"),
        ]

    def test_an_expression_that_is_none_any_more_is_no_view(self, life: Life) -> None:
        """Python may read the same expression otherwise one day."""
        life.lists(listing(WEB))
        with closing(sqlite3.connect(life.path)) as database, database:
            database.execute("UPDATE scopes SET include = '('")
        life.kill()
        life.lists(listing(WEB, DB))
        assert life.inferred() == []
