"""Every scenario on real libvirt and QEMU: the exporter counts what libvirt sent."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.event_comparison import assert_counts_match
from tests.qemu.scenario import Scenario
from tests.qemu.scenarios import SCENARIOS


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    chosen: Scenario = request.param
    return chosen


@pytest.fixture
def driver(
    scenario: Scenario, session_daemon: Daemon, guests: Guests, recorder: EventRecorder
) -> Iterator[DomainDriver]:
    with managed_domain(
        DomainDriver(scenario.name, scenario.guest, session_daemon, guests, recorder)
    ) as driver:
        if driver.connection.getLibVersion() < scenario.libvirt:
            pytest.skip(f"needs libvirt {scenario.libvirt}")
        yield driver


def test_counters_match_the_events_of_libvirt(
    scenario: Scenario,
    driver: DomainDriver,
    exporter: Exporter,
    recorder: EventRecorder,
    record_summary: Callable[[str, str], None],
) -> None:
    try:
        scenario.operation(driver)
    finally:
        driver.clear()
        recorder.settle()
        for domain in (scenario.name, *driver.other_names):
            record_summary(domain, recorder.summary(domain))
    assert not scenario.mismatches(recorder.pairs(scenario.name)), recorder.summary(scenario.name)
    for domain in (scenario.name, *driver.other_names):
        assert_counts_match(exporter, recorder, domain)
    counted = {"/".join(pair) for pair in exporter.journal.counted(scenario.name)}
    assert set(scenario.diagnosed) <= counted
    incidents = exporter.journal.incidents(scenario.name)
    assert tuple(incident.kind for incident in incidents) == scenario.incidents, incidents
    assert all(incident.closed_at is not None for incident in incidents), "the domain was removed"
