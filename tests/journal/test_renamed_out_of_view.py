"""A domain whose new name the filter does not pass is dropped; back again, it is not added."""

from pathlib import Path

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.life import Life
from tests.unit.exposition_reader import EVENTS, names, value
from tests.unit.factories import facts, lifecycle, listing, lookup

NO_DB = DomainFilter(".*", "db.*")
WEB = facts("web")


class TestRenamed:
    def test_out_of_the_view_it_is_dropped(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(listing(facts("web", "shutoff")))
            life.feed(
                lifecycle("undefined", "renamed"), lifecycle("defined", "renamed", name="db", uuid="uuid-web")
            )
            life.lists(listing(facts("db", "shutoff", uuid="uuid-web")))
            assert [(row.name, row.event, row.reason) for row in life.rows()] == [
                ("web", "undefined", "renamed")
            ]
            assert (life.known(), life.all_changes()) == (set(), [0, 0, 0, 0])

    def test_out_of_the_view_a_look_is_enough(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB, ttl=10.0) as life:
            life.lists(listing(facts("web", "shutoff", "crashed")))
            life.feed(lifecycle("undefined", "renamed"))
            life.feed(lookup("web", facts("db", "shutoff", uuid="uuid-web")))
            assert life.known() == set()
            life.later(11.0)
            assert names(life.metrics) == set()

    def test_out_of_the_view_an_answer_that_is_old_news_drops_nothing(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(listing(WEB))
            old = life.message_queue.next_order()
            life.feed(lifecycle("defined", "updated"))
            life.message_queue.put(lookup("web", facts("db", uuid="uuid-web"), began=old))
            life.work()
            assert life.known() == {"web"}

    def test_an_answer_that_overtakes_the_event_drops_it_and_the_event_counts(self, tmp_path: Path) -> None:
        """What is known in the end is written, too: the next life takes nothing for new."""
        with Life(tmp_path, names=NO_DB) as life:
            life.lists(listing(facts("web", "shutoff")))
            life.put(
                lookup("web", facts("db", "shutoff", uuid="uuid-web")),
                lifecycle("undefined", "renamed"),
                lifecycle("defined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("defined", "renamed"),
            )
            life.work()
            life.kill()
            life.lists(listing(facts("web", "shutoff")))
            pairs = [(row.name, row.event, row.reason) for row in life.rows()]
            assert pairs == [("web", "undefined", "renamed"), ("web", "defined", "renamed")]

    def test_into_the_view_and_back_it_is_neither_added_nor_removed(self, tmp_path: Path) -> None:
        with Life(tmp_path, names=NO_DB) as life:
            db = facts("db", "shutoff", uuid="uuid-web")
            life.lists(listing(db))
            for _ in range(2):
                life.feed(
                    lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                    lifecycle("defined", "renamed"),
                )
                life.lists(listing(facts("web", "shutoff")))
                life.feed(lifecycle("undefined", "renamed"))
                life.lists(listing(db))
            assert life.inferred() == []
            assert life.all_changes() == [0, 0, 0, 0]
            assert value(life.metrics, EVENTS, domain="web", event="defined", reason="renamed") == 2

    def test_while_the_filter_changed_it_is_adopted(self, life: Life) -> None:
        life.lists(listing(WEB, facts("db", "shutoff")))
        life.names = NO_DB
        life.kill()
        life.lists(listing(WEB, facts("was-db", "shutoff", uuid="uuid-db")))
        assert (life.inferred(), life.known()) == ([], {"web", "was-db"})
