"""The pipeline without threads: messages in, the sink told, the connection asked."""

from libvirt_lifecycle_exporter.inbox import Inbox
from libvirt_lifecycle_exporter.sinks.prometheus import PrometheusSink
from libvirt_lifecycle_exporter.transition import DomainDetails, LinkDown, LinkUp, Message
from libvirt_lifecycle_exporter.worker import DomainFilter, Worker
from tests.unit.seen import HERE, facts, lifecycle, look, observation, snapshot
from tests.unit.test_prometheus_sink import EVENTS, names, samples, value


class Asked:
    """Notes what the worker asks of a connection."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.looks: set[str] = set()

    def want_snapshot(self) -> None:
        self.snapshots += 1

    def want_looks(self, uuids: set[str]) -> None:
        self.looks |= uuids


class Rig:
    def __init__(self, include: str = ".*", exclude: str = "") -> None:
        self.now = 1000.0
        self.inbox, self.asked = Inbox(1000), Asked()
        self.sink = PrometheusSink((HERE,), series_limit=1000, series_ttl=900)
        names_wanted = DomainFilter(include, exclude)
        self.worker = Worker(
            self.inbox, self.sink, {HERE: self.asked}, names_wanted, memory=900, clock=lambda: self.now
        )

    def feed(self, *messages: Message) -> None:
        for message in messages:
            self.inbox.put(message)
        while self.worker.work():
            pass


def test_a_transition_is_counted_and_looked_into() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web")), lifecycle("stopped", "crashed"))
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert value(rig.sink, "libvirt_domain_state", domain="web", state="shutoff") == 1
    assert rig.asked.looks == {"uuid-web"}


def test_the_look_has_the_last_word() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web")), lifecycle("stopped", "failed"))
    rig.feed(look("web", facts("web", "shutoff", "crashed"), details=DomainDetails("kvm", "hello", None)))
    assert (
        value(rig.sink, "libvirt_domain_state_reason", domain="web", state="shutoff", reason="crashed") == 1
    )


def test_changed_metadata_is_looked_into_and_counts_as_nothing() -> None:
    rig = Rig()
    rig.feed(snapshot())
    rig.feed(observation("metadata_change", 1))
    assert rig.asked.looks == {"uuid-web"}
    assert names(rig.sink) == set()


def test_details_are_fetched_once_for_every_listed_domain() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web"), facts("db")))
    assert rig.asked.looks == {"uuid-web", "uuid-db"}
    rig.asked.looks.clear()
    rig.feed(look("web", facts("web"), details=DomainDetails("kvm", "", None)))
    rig.feed(snapshot(facts("web"), facts("db")))
    assert rig.asked.looks == {"uuid-db"}


def test_ready_once_listed_and_down_until_up() -> None:
    rig = Rig()
    assert (rig.worker.ready(), rig.worker.down()) == (False, [HERE])
    rig.feed(LinkUp(0.0, HERE))
    assert (rig.worker.ready(), rig.worker.down()) == (False, [])
    rig.feed(snapshot(), LinkDown(0.0, HERE, "gone"))
    assert (rig.worker.ready(), rig.worker.down()) == (True, [HERE])


def test_only_wanted_domains_are_counted_shown_and_looked_at() -> None:
    rig = Rig(include="web.*|db", exclude=".*-test")
    wanted, unwanted = ("web", "web-1", "db"), ("web-test", "adb", "db2", "other")
    rig.feed(snapshot(*(facts(name) for name in (*wanted, *unwanted))))
    rig.feed(*(lifecycle("stopped", "crashed", name=name) for name in (*wanted, *unwanted)))
    rig.feed(*(look(name, facts(name)) for name in (*wanted, *unwanted)))
    assert names(rig.sink) == set(wanted)
    assert rig.asked.looks == {f"uuid-{name}" for name in wanted}
    labels = {"event": "stopped", "reason": "crashed"}
    assert value(rig.sink, "libvirt_connection_lifecycle_events_total", **labels) == len(wanted)


def test_removed_domains_are_forgotten_by_all_rooms_in_time() -> None:
    rig = Rig()
    rig.feed(snapshot(), lifecycle("started", "booted"), lifecycle("stopped", "destroyed"))
    rig.now = 1899.0
    rig.worker.tick()
    assert names(rig.sink) == {"web"}
    rig.now = 1901.0
    rig.worker.tick()
    assert names(rig.sink) == set()


def test_a_renamed_domain_leaves_its_old_series_and_keeps_its_counts_apart() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", "shutoff")))
    rig.feed(
        lifecycle("undefined", "renamed", name="web"),
        lifecycle("defined", "renamed", name="www", uuid="uuid-web"),
    )
    assert value(rig.sink, EVENTS, domain="web", event="undefined", reason="renamed") == 1
    assert value(rig.sink, EVENTS, domain="www", event="defined", reason="renamed") == 1
    rig.now = 1e9
    rig.worker.tick()
    assert names(rig.sink) == {"www"}


def test_a_message_that_cannot_be_taken_in_stops_nothing() -> None:
    rig = Rig()
    broken = lifecycle("stopped", "crashed")._replace(event="not a number", detail=[])  # type: ignore[arg-type]
    rig.feed(snapshot(facts("web")), broken, lifecycle("stopped", "crashed"))
    assert value(rig.sink, EVENTS, domain="web", event="stopped", reason="crashed") == 1
    assert (rig.inbox.dropped["worker_error"], rig.asked.snapshots) == (1, 1)


def test_5000_domains_may_come_and_go() -> None:
    rig = Rig()
    many = [facts(f"vm-{number}", persistent=False) for number in range(5000)]
    rig.feed(snapshot(*many))
    for one in many:
        rig.feed(lifecycle("stopped", "destroyed", name=one.name))
    labels = {"event": "stopped", "reason": "destroyed"}
    assert value(rig.sink, "libvirt_connection_lifecycle_events_total", **labels) == 5000
    shown = samples(rig.sink)
    counted = {
        dict(has)["domain"]: n
        for (name, has), n in shown.items()
        if name == EVENTS and labels.items() <= dict(has).items()
    }
    assert sum(counted.values()) == 5000
    assert 0 < counted["_other"] < 5000
    assert (
        value(rig.sink, "libvirt_domain_inventory_changes_total", change="removed", reason="shutdown") == 5000
    )
    rig.now = 1e9
    rig.worker.tick()
    assert names(rig.sink) == {"_other"}
    assert rig.sink.series == 2
