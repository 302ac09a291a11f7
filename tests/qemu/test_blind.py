"""What happened while nobody looked is counted once, for the best reason that can be proven, and no other."""

import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.hosts import Hosts
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon
from tests.qemu.blindness import OFTEN, UNOBSERVED, Aftermath, Blindness, Mortal, Telling, play, theatre
from tests.qemu.ledger import wait_counted
from tests.qemu.road import Road
from tests.qemu.stage import Stage, on_stage
from tests.qemu.unseen import ALL, WITHOUT_LIBVIRT, Unseen

EVENTS = "libvirt_domain_lifecycle_events_total"
OF_THE_CONNECTION = "libvirt_connection_lifecycle_events_total"
INVENTORY = "libvirt_domain_inventory_changes_total"
INCIDENTS = "libvirt_domain_incidents_total"

BLIND = (
    Blindness("libvirtd-stopped", daemon=Daemon.stop),
    Blindness("libvirtd-killed", daemon=Daemon.kill),
    Blindness("exporter-stopped", exporter=signal.SIGTERM),
    Blindness("exporter-killed", exporter=signal.SIGKILL),
    Blindness("both-killed", exporter=signal.SIGKILL, daemon=Daemon.kill),
)


def happenings(blindness: Blindness) -> tuple[Unseen, ...]:
    return ALL if blindness.libvirt_is_there else WITHOUT_LIBVIRT


CASES = [(blindness, unseen) for blindness in BLIND for unseen in happenings(blindness)]


@pytest.fixture(scope="module")
def nights(programs: Programs, guests: Guests) -> Callable[[Blindness], Aftermath]:
    """Each is played once, for all the tests that ask about it."""

    @cache
    def night(blindness: Blindness) -> Aftermath:
        with (
            short_root() as root,
            SessionDaemon(root / "own", programs) as daemon,
            EventRecorder(daemon.uri) as recorder,
            theatre(daemon, guests, recorder) as opened,
        ):
            return play(opened, blindness, happenings(blindness))

    return night


@pytest.fixture
def aftermath(request: pytest.FixtureRequest, nights: Callable[[Blindness], Aftermath]) -> Aftermath:
    return nights(request.param)


@pytest.fixture
def unseen(request: pytest.FixtureRequest) -> Unseen:
    chosen: Unseen = request.param
    return chosen


each = pytest.mark.parametrize(
    ("aftermath", "unseen"),
    CASES,
    indirect=True,
    ids=[f"{blindness.name}-{unseen.name}" for blindness, unseen in CASES],
)
every_night = pytest.mark.parametrize(
    "aftermath", BLIND, indirect=True, ids=[blindness.name for blindness in BLIND]
)


def growth(before: Telling, after: Telling, metric: str, *labels: str) -> Counter[str]:
    return after.by(metric, *labels) - before.by(metric, *labels)


@each
def test_missed_event_is_counted_once_with_provable_reason(aftermath: Aftermath, unseen: Unseen) -> None:
    expected = {unseen.name: unseen.expected(libvirt_is_there=aftermath.blindness.libvirt_is_there)}
    expected |= dict.fromkeys(aftermath.others[unseen.name], unseen.renamed)
    sources = {"reconcile"} if aftermath.blindness.libvirt_is_there else {"reconcile", "callback"}
    for name, pairs in expected.items():
        news = aftermath.news(name)
        told = [f"{row.event}/{row.reason}" for row in news]
        assert told == list(pairs) if unseen.in_order else Counter(told) == Counter(pairs)
        assert {row.source for row in news} <= sources
        assert aftermath.after.of(name).shown == aftermath.after.of(name).counted


@each
def test_incident_is_opened_only_for_failures(aftermath: Aftermath, unseen: Unseen) -> None:
    incidents = aftermath.new_incidents(unseen.name)
    assert [incident.kind for incident in incidents] == ([unseen.incident] if unseen.incident else [])
    assert all(incident.closed_at is None for incident in incidents)
    assert {row.incident_id for row in aftermath.news(unseen.name) if row.incident_id} == {
        incident.id for incident in incidents
    }


@every_night
def test_inventory_and_totals_match_the_events(aftermath: Aftermath) -> None:
    night = happenings(aftermath.blindness)
    before, after = aftermath.before, aftermath.after
    assert growth(before, after, INVENTORY, "change", "reason") == Counter(
        change for unseen in night for change in unseen.inventory
    )
    assert growth(before, after, INCIDENTS, "kind") == Counter(
        unseen.incident for unseen in night if unseen.incident
    )
    counted = growth(before, after, EVENTS, "event", "reason")
    assert counted == growth(before, after, OF_THE_CONNECTION, "event", "reason")
    assert counted == Counter(
        pair
        for unseen in night
        for pair in (*unseen.expected(libvirt_is_there=aftermath.blindness.libvirt_is_there), *unseen.renamed)
    )


@every_night
def test_nothing_is_counted_again_by_further_listings(aftermath: Aftermath) -> None:
    assert aftermath.later == aftermath.after


@every_night
def test_restart_without_changes_counts_nothing(aftermath: Aftermath) -> None:
    blind = {key: value for key, value in aftermath.restarted.counters.items() if key[0] == UNOBSERVED}
    assert aftermath.restarted.accounts == aftermath.later.accounts
    assert aftermath.restarted.counters == aftermath.later.counters | blind


@every_night
def test_unobserved_time_is_counted(aftermath: Aftermath) -> None:
    seconds = [
        sum(value for key, value in telling.counters.items() if key[0] == UNOBSERVED)
        for telling in (aftermath.before, aftermath.after, aftermath.later, aftermath.restarted)
    ]
    print(f"{aftermath.blindness.name}: nobody looked for {aftermath.blind_for:.2f} s; counted {seconds}")
    assert seconds[1] - seconds[0] >= aftermath.blind_for
    assert seconds[2] == seconds[1]
    assert seconds[3] > seconds[2]


def test_pending_stop_survives_a_killed_exporter_once(
    own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests
) -> None:
    names = [f"open-{number}" for number in range(6)]
    with theatre(own_daemon, guests, own_recorder) as opened:
        for name in names:
            opened.stage(name).boot()
        opened.settle()
        for name in names:
            opened.stages[name].emulator(signal.SIGKILL)
        opened.recorder.wait_for(names[0], "stopped")
        opened.exporter.end(signal.SIGKILL)
        for name in names:
            opened.stages[name].sees("stopped/failed")
        opened.exporter.begin()
        opened.listings(4)
        told = opened.tell()
        for name in names:
            stops = [(row.event, row.reason) for row in told.of(name).rows if row.event == "stopped"]
            assert stops == [("stopped", "crashed")], told.of(name)
            assert [incident.kind for incident in told.of(name).incidents] == ["crashed"]
            assert told.of(name).shown == told.of(name).counted


def test_missed_migration_is_no_stop_and_no_boot(hosts: Hosts, guests: Guests) -> None:
    uris = [f"{host.name}={host.daemon.uri}" for host in (hosts.here, hosts.there)]
    road = Road("moved-unseen", IDLE, hosts, guests)
    try:
        with Mortal(hosts.here.daemon.root, uris, extra_args=OFTEN) as exporter:
            road.boot()
            for host in (hosts.here, hosts.there):
                wait_counted(exporter, host.recorder.settle(), host.name)
            exporter.end(signal.SIGKILL)
            road.migrate()
            exporter.begin()
            exporter.wait_until(lambda: exporter.lifecycle_counts(road.name, "here")["stopped", "migrated"])
            exporter.wait_until(lambda: exporter.lifecycle_counts(road.name, "there")["started", "migrated"])
            rows = [row for row in exporter.journal.rows(road.name) if row.source == "reconcile"]
            assert {(row.connection, row.event, row.reason) for row in rows} == {
                ("here", "stopped", "migrated"),
                ("there", "started", "migrated"),
            }
            assert len(rows) == 2
            assert not exporter.journal.incidents(road.name)
    finally:
        road.clear()
        road.close()


def test_host_shutdown_opens_no_incidents(
    session_daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: Exporter
) -> None:
    with ExitStack() as house:

        def tenant(name: str, guest: Guest) -> Stage:
            return house.enter_context(on_stage(Stage(name, guest, session_daemon, guests, recorder)))

        obeying = [tenant(f"obeys-{number}", Guest("powerbutton")) for number in range(10)]
        deaf = [tenant(f"deaf-{number}", IDLE) for number in range(10)]
        for stage in (*obeying, *deaf):
            stage.boot()
        for stage in obeying:
            stage.hears("R")
        for stage in obeying:
            stage.domain.shutdown()
        for stage in deaf:
            stage.domain.destroy()
        for stage in obeying:
            stage.sees("stopped/shutdown")
        wait_counted(exporter, recorder.settle())
        for stage in (*obeying, *deaf):
            reason = "shutdown" if stage in obeying else "destroyed"
            assert exporter.lifecycle_counts(stage.name) == recorder.pairs(stage.name)
            assert exporter.lifecycle_counts(stage.name)["stopped", reason] == 1
            assert exporter.journal.incidents(stage.name) == []
            assert not any(row.incident_id for row in exporter.journal.rows(stage.name))
