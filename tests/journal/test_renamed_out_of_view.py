"""A domain whose new name the filter does not pass is dropped; back again, it is not added."""

from pathlib import Path

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.life import Life
from tests.unit.exposition_reader import EVENTS, names, value
from tests.unit.seen import facts, lifecycle, look, snapshot

NO_DB = DomainFilter(".*", "db.*")
WEB = facts("web")


class TestRenamed:
    def test_domain_renamed_to_excluded_name_is_dropped(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(snapshot(facts("web", "shutoff")))
            life.feed(
                lifecycle("undefined", "renamed"), lifecycle("defined", "renamed", name="db", uuid="uuid-web")
            )
            life.lists(snapshot(facts("db", "shutoff", uuid="uuid-web")))
            assert [(row.name, row.event, row.reason) for row in life.rows()] == [
                ("web", "undefined", "renamed")
            ]
            assert (life.known(), life.all_changes()) == (set(), [0, 0, 0, 0])

    def test_lookup_alone_drops_domain_with_excluded_name(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB, ttl=10.0) as life:
            life.lists(snapshot(facts("web", "shutoff", "crashed")))
            life.feed(lifecycle("undefined", "renamed"))
            life.feed(look("web", facts("db", "shutoff", uuid="uuid-web")))
            assert life.known() == set()
            life.later(11.0)
            assert names(life.sink) == set()

    def test_outdated_lookup_drops_nothing(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(snapshot(WEB))
            old = life.message_queue.next_order()
            life.feed(lifecycle("defined", "updated"))
            life.message_queue.put(look("web", facts("db", uuid="uuid-web"), began=old))
            life.work()
            assert life.known() == {"web"}

    def test_lookup_before_rename_event_still_counts_the_event(self, tmp_path: Path) -> None:
        """What is known in the end is written, too: the next life takes nothing for new."""
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(snapshot(facts("web", "shutoff")))
            life.put(
                look("web", facts("db", "shutoff", uuid="uuid-web")),
                lifecycle("undefined", "renamed"),
                lifecycle("defined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("defined", "renamed"),
            )
            life.work()
            life.is_killed()
            life.lists(snapshot(facts("web", "shutoff")))
            pairs = [(row.name, row.event, row.reason) for row in life.rows()]
            assert pairs == [("web", "undefined", "renamed"), ("web", "defined", "renamed")]

    def test_rename_in_and_out_is_neither_added_nor_removed(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            db = facts("db", "shutoff", uuid="uuid-web")
            life.lists(snapshot(db))
            for _ in range(2):
                life.feed(
                    lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                    lifecycle("defined", "renamed"),
                )
                life.lists(snapshot(facts("web", "shutoff")))
                life.feed(lifecycle("undefined", "renamed"))
                life.lists(snapshot(db))
            assert life.inferred() == []
            assert life.all_changes() == [0, 0, 0, 0]
            assert value(life.sink, EVENTS, domain="web", event="defined", reason="renamed") == 2

    def test_rename_while_filter_changed_is_adopted(self, life: Life) -> None:
        life.lists(snapshot(WEB, facts("db", "shutoff")))
        life.names = NO_DB
        life.is_killed()
        life.lists(snapshot(WEB, facts("was-db", "shutoff", uuid="uuid-db")))
        assert (life.inferred(), life.known()) == ([], {"web", "was-db"})
