"""Every scenario against real libvirt and real QEMU: what is counted is what libvirt sent."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.qemu.ledger import counts_agree
from tests.qemu.scenario import Scenario
from tests.qemu.stage import Stage, on_stage
from tests.qemu.table import SCENARIOS


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    chosen: Scenario = request.param
    return chosen


@pytest.fixture
def stage(
    scenario: Scenario, session_daemon: Daemon, guests: Guests, recorder: EventRecorder
) -> Iterator[Stage]:
    with on_stage(Stage(scenario.name, scenario.guest, session_daemon, guests, recorder)) as stage:
        if stage.connection.getLibVersion() < scenario.libvirt:
            pytest.skip(f"needs libvirt {scenario.libvirt}")
        yield stage


def test_counters_match_the_events_of_libvirt(
    scenario: Scenario,
    stage: Stage,
    exporter: Exporter,
    recorder: EventRecorder,
    account: Callable[[str, str], None],
) -> None:
    try:
        scenario.play(stage)
    finally:
        stage.clear()
        recorder.settle()
        for domain in (scenario.name, *stage.others):
            account(domain, recorder.summary(domain))
    assert not scenario.complaints(recorder.pairs(scenario.name)), recorder.summary(scenario.name)
    for domain in (scenario.name, *stage.others):
        counts_agree(exporter, recorder, domain)
    counted = {"/".join(pair) for pair in exporter.journal.counted(scenario.name)}
    assert set(scenario.diagnosed) <= counted
    incidents = exporter.journal.incidents(scenario.name)
    assert tuple(incident.kind for incident in incidents) == scenario.incidents, incidents
    assert all(incident.closed_at is not None for incident in incidents), "it is gone, and so nothing is open"
