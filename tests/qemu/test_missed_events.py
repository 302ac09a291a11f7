"""Events during an outage are counted once, with the best reason that can be proven."""

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
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.event_comparison import wait_counted
from tests.qemu.migration_driver import MigrationDriver
from tests.qemu.missed_events import ALL, WITHOUT_LIBVIRT, MissedEvent
from tests.qemu.outage import (
    SHORT_INTERVALS,
    UNOBSERVED,
    Outage,
    OutageResult,
    Report,
    RestartableExporter,
    outage_harness,
    run_outage,
)

pytestmark = pytest.mark.timeout(300)
"""The setup of the first test starts dozens of emulators."""

EVENTS = "libvirt_domain_lifecycle_events_total"
OF_THE_CONNECTION = "libvirt_connection_lifecycle_events_total"
INVENTORY = "libvirt_domain_inventory_changes_total"
INCIDENTS = "libvirt_domain_incidents_total"

OUTAGES = (
    Outage("libvirtd-stopped", daemon=Daemon.stop),
    Outage("libvirtd-killed", daemon=Daemon.kill),
    Outage("exporter-stopped", exporter=signal.SIGTERM),
    Outage("exporter-killed", exporter=signal.SIGKILL),
    Outage("both-killed", exporter=signal.SIGKILL, daemon=Daemon.kill),
)


def cases(outage: Outage) -> tuple[MissedEvent, ...]:
    return ALL if outage.libvirt_is_there else WITHOUT_LIBVIRT


CASES = [(outage, missed) for outage in OUTAGES for missed in cases(outage)]


@pytest.fixture(scope="module")
def outages(programs: Programs, guests: Guests) -> Callable[[Outage], OutageResult]:
    """Each outage is run once for all tests."""

    @cache
    def run(outage: Outage) -> OutageResult:
        with (
            short_root() as root,
            SessionDaemon(root / "own", programs) as daemon,
            EventRecorder(daemon.uri) as recorder,
            outage_harness(daemon, guests, recorder) as harness,
        ):
            return run_outage(harness, outage, cases(outage))

    return run


@pytest.fixture
def result(request: pytest.FixtureRequest, outages: Callable[[Outage], OutageResult]) -> OutageResult:
    return outages(request.param)


@pytest.fixture
def missed(request: pytest.FixtureRequest) -> MissedEvent:
    chosen: MissedEvent = request.param
    return chosen


each_case = pytest.mark.parametrize(
    ("result", "missed"),
    CASES,
    indirect=True,
    ids=[f"{outage.name}-{missed.name}" for outage, missed in CASES],
)
each_outage = pytest.mark.parametrize(
    "result", OUTAGES, indirect=True, ids=[outage.name for outage in OUTAGES]
)


def growth(before: Report, after: Report, metric: str, *labels: str) -> Counter[str]:
    return after.by(metric, *labels) - before.by(metric, *labels)


@each_case
def test_missed_event_is_counted_once_with_provable_reason(result: OutageResult, missed: MissedEvent) -> None:
    expected = {missed.name: missed.expected(libvirt_is_there=result.outage.libvirt_is_there)}
    expected |= dict.fromkeys(result.other_names[missed.name], missed.renamed)
    sources = {"reconcile"} if result.outage.libvirt_is_there else {"reconcile", "callback"}
    for name, pairs in expected.items():
        new_rows = result.new_rows(name)
        reported = [f"{row.event}/{row.reason}" for row in new_rows]
        assert reported == list(pairs) if missed.in_order else Counter(reported) == Counter(pairs)
        assert {row.source for row in new_rows} <= sources
        assert result.after.of(name).shown == result.after.of(name).counted


@each_case
def test_incident_is_opened_only_for_failures(result: OutageResult, missed: MissedEvent) -> None:
    incidents = result.new_incidents(missed.name)
    assert [incident.kind for incident in incidents] == ([missed.incident] if missed.incident else [])
    assert all(incident.closed_at is None for incident in incidents)
    assert {row.incident_id for row in result.new_rows(missed.name) if row.incident_id} == {
        incident.id for incident in incidents
    }


@each_outage
def test_inventory_and_totals_match_the_events(result: OutageResult) -> None:
    run = cases(result.outage)
    before, after = result.before, result.after
    assert growth(before, after, INVENTORY, "change", "reason") == Counter(
        change for missed in run for change in missed.inventory
    )
    assert growth(before, after, INCIDENTS, "kind") == Counter(
        missed.incident for missed in run if missed.incident
    )
    counted = growth(before, after, EVENTS, "event", "reason")
    assert counted == growth(before, after, OF_THE_CONNECTION, "event", "reason")
    assert counted == Counter(
        pair
        for missed in run
        for pair in (*missed.expected(libvirt_is_there=result.outage.libvirt_is_there), *missed.renamed)
    )


@each_outage
def test_nothing_is_counted_again_by_further_listings(result: OutageResult) -> None:
    assert result.later == result.after


@each_outage
def test_restart_without_changes_counts_nothing(result: OutageResult) -> None:
    unobserved = {key: value for key, value in result.restarted.counters.items() if key[0] == UNOBSERVED}
    assert result.restarted.domains == result.later.domains
    assert result.restarted.counters == result.later.counters | unobserved


@each_outage
def test_unobserved_time_is_counted(result: OutageResult) -> None:
    seconds = [
        sum(value for key, value in report.counters.items() if key[0] == UNOBSERVED)
        for report in (result.before, result.after, result.later, result.restarted)
    ]
    print(f"{result.outage.name}: unobserved for {result.duration:.2f} s; counted {seconds}")
    assert seconds[1] - seconds[0] >= result.duration
    assert seconds[2] == seconds[1]
    assert seconds[3] > seconds[2]


def test_pending_stop_survives_a_killed_exporter_once(
    own_daemon: Daemon, own_recorder: EventRecorder, guests: Guests
) -> None:
    names = [f"open-{number}" for number in range(6)]
    with outage_harness(own_daemon, guests, own_recorder) as harness:
        for name in names:
            harness.driver(name).boot()
        harness.settle()
        for name in names:
            harness.drivers[name].signal_emulator(signal.SIGKILL)
        harness.recorder.wait_for(names[0], "stopped")
        harness.exporter.end(signal.SIGKILL)
        for name in names:
            harness.drivers[name].wait_event("stopped/failed")
        harness.exporter.begin()
        harness.wait_listings(4)
        reported = harness.report()
        for name in names:
            stops = [(row.event, row.reason) for row in reported.of(name).rows if row.event == "stopped"]
            assert stops == [("stopped", "crashed")], reported.of(name)
            assert [incident.kind for incident in reported.of(name).incidents] == ["crashed"]
            assert reported.of(name).shown == reported.of(name).counted


def test_missed_migration_is_no_stop_and_no_boot(hosts: Hosts, guests: Guests) -> None:
    uris = [f"{host.name}={host.daemon.uri}" for host in (hosts.here, hosts.there)]
    migration = MigrationDriver("moved-missed", IDLE, hosts, guests)
    try:
        with RestartableExporter(hosts.here.daemon.root, uris, extra_args=SHORT_INTERVALS) as exporter:
            migration.boot()
            for host in (hosts.here, hosts.there):
                wait_counted(exporter, host.recorder.settle(), host.name)
            exporter.end(signal.SIGKILL)
            migration.migrate()
            exporter.begin()
            exporter.wait_until(
                lambda: exporter.lifecycle_counts(migration.name, "here")["stopped", "migrated"]
            )
            exporter.wait_until(
                lambda: exporter.lifecycle_counts(migration.name, "there")["started", "migrated"]
            )
            rows = [row for row in exporter.journal.rows(migration.name) if row.source == "reconcile"]
            assert {(row.connection, row.event, row.reason) for row in rows} == {
                ("here", "stopped", "migrated"),
                ("there", "started", "migrated"),
            }
            assert len(rows) == 2
            assert not exporter.journal.incidents(migration.name)
    finally:
        migration.clear()
        migration.close()


def test_host_shutdown_opens_no_incidents(
    session_daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: Exporter
) -> None:
    with ExitStack() as stack:

        def start(name: str, guest: Guest) -> DomainDriver:
            return stack.enter_context(
                managed_domain(DomainDriver(name, guest, session_daemon, guests, recorder))
            )

        responsive = [start(f"responsive-{number}", Guest("powerbutton")) for number in range(10)]
        unresponsive = [start(f"unresponsive-{number}", IDLE) for number in range(10)]
        for driver in (*responsive, *unresponsive):
            driver.boot()
        for driver in responsive:
            driver.wait_serial("R")
        for driver in responsive:
            driver.domain.shutdown()
        for driver in unresponsive:
            driver.domain.destroy()
        for driver in responsive:
            driver.wait_event("stopped/shutdown")
        wait_counted(exporter, recorder.settle())
        for driver in (*responsive, *unresponsive):
            reason = "shutdown" if driver in responsive else "destroyed"
            assert exporter.lifecycle_counts(driver.name) == recorder.pairs(driver.name)
            assert exporter.lifecycle_counts(driver.name)["stopped", reason] == 1
            assert exporter.journal.incidents(driver.name) == []
            assert not any(row.incident_id for row in exporter.journal.rows(driver.name))
