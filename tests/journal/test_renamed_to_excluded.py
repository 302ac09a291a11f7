"""A domain whose new name the filter excludes is dropped; renamed back, it is not counted as added."""

from pathlib import Path

from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.exposition_reader import EVENTS, names, value
from tests.unit.factories import facts, lifecycle, listing, lookup

NO_DB = DomainFilter(".*", "db.*")
WEB = facts("web")


class TestRenamed:
    def test_domain_renamed_to_excluded_name_is_dropped(self, tmp_path: Path) -> None:
        with SimulatedExporter(tmp_path, names=NO_DB) as exporter:
            exporter.connect_and_list(listing(facts("web", "shutoff")))
            exporter.feed(
                lifecycle("undefined", "renamed"), lifecycle("defined", "renamed", name="db", uuid="uuid-web")
            )
            exporter.connect_and_list(listing(facts("db", "shutoff", uuid="uuid-web")))
            assert [(row.name, row.event, row.reason) for row in exporter.rows()] == [
                ("web", "undefined", "renamed")
            ]
            assert (exporter.known_domains(), exporter.all_inventory_changes()) == (set(), [0, 0, 0, 0])

    def test_lookup_alone_drops_domain_with_excluded_name(self, tmp_path: Path) -> None:
        with SimulatedExporter(tmp_path, names=NO_DB, ttl=10.0) as exporter:
            exporter.connect_and_list(listing(facts("web", "shutoff", "crashed")))
            exporter.feed(lifecycle("undefined", "renamed"))
            exporter.feed(lookup("web", facts("db", "shutoff", uuid="uuid-web")))
            assert exporter.known_domains() == set()
            exporter.advance(11.0)
            assert names(exporter.metrics) == set()

    def test_outdated_lookup_drops_nothing(self, tmp_path: Path) -> None:
        with SimulatedExporter(tmp_path, names=NO_DB) as exporter:
            exporter.connect_and_list(listing(WEB))
            old = exporter.message_queue.next_order()
            exporter.feed(lifecycle("defined", "updated"))
            exporter.message_queue.put(lookup("web", facts("db", uuid="uuid-web"), began=old))
            exporter.work()
            assert exporter.known_domains() == {"web"}

    def test_lookup_before_rename_event_still_counts_the_event(self, tmp_path: Path) -> None:
        """The final state is written as well: the next start finds no new domain."""
        with SimulatedExporter(tmp_path, names=NO_DB) as exporter:
            exporter.connect_and_list(listing(facts("web", "shutoff")))
            exporter.enqueue(
                lookup("web", facts("db", "shutoff", uuid="uuid-web")),
                lifecycle("undefined", "renamed"),
                lifecycle("defined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                lifecycle("defined", "renamed"),
            )
            exporter.work()
            exporter.kill()
            exporter.connect_and_list(listing(facts("web", "shutoff")))
            pairs = [(row.name, row.event, row.reason) for row in exporter.rows()]
            assert pairs == [("web", "undefined", "renamed"), ("web", "defined", "renamed")]

    def test_rename_in_and_out_is_neither_added_nor_removed(self, tmp_path: Path) -> None:
        with SimulatedExporter(tmp_path, names=NO_DB) as exporter:
            db = facts("db", "shutoff", uuid="uuid-web")
            exporter.connect_and_list(listing(db))
            for _ in range(2):
                exporter.feed(
                    lifecycle("undefined", "renamed", name="db", uuid="uuid-web"),
                    lifecycle("defined", "renamed"),
                )
                exporter.connect_and_list(listing(facts("web", "shutoff")))
                exporter.feed(lifecycle("undefined", "renamed"))
                exporter.connect_and_list(listing(db))
            assert exporter.inferred() == []
            assert exporter.all_inventory_changes() == [0, 0, 0, 0]
            assert value(exporter.metrics, EVENTS, domain="web", event="defined", reason="renamed") == 2

    def test_rename_while_filter_changed_is_adopted(self, exporter: SimulatedExporter) -> None:
        exporter.connect_and_list(listing(WEB, facts("db", "shutoff")))
        exporter.names = NO_DB
        exporter.kill()
        exporter.connect_and_list(listing(WEB, facts("was-db", "shutoff", uuid="uuid-db")))
        assert (exporter.inferred(), exporter.known_domains()) == ([], {"web", "was-db"})
