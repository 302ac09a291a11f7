"""Every scenario against real libvirt and real QEMU: what is counted is what libvirt sent."""

from collections.abc import Callable, Iterator

import pytest

from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.lab.witness import Witness
from tests.qemu.ledger import counts_agree
from tests.qemu.scenario import Scenario
from tests.qemu.stage import Stage, on_stage
from tests.qemu.table import SCENARIOS


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    chosen: Scenario = request.param
    return chosen


@pytest.fixture
def stage(scenario: Scenario, session_daemon: Daemon, guests: Guests, witness: Witness) -> Iterator[Stage]:
    with on_stage(Stage(scenario.name, scenario.guest, session_daemon, guests, witness)) as stage:
        if stage.connection.getLibVersion() < scenario.libvirt:
            pytest.skip(f"needs libvirt {scenario.libvirt}")
        yield stage


def test_counters_match_the_events_of_libvirt(
    scenario: Scenario,
    stage: Stage,
    exporter: Exporter,
    witness: Witness,
    account: Callable[[str, str], None],
) -> None:
    try:
        scenario.play(stage)
    finally:
        stage.clear()
        witness.settle()
        for domain in (scenario.name, *stage.others):
            account(domain, witness.story(domain))
    assert not scenario.complaints(witness.pairs(scenario.name)), witness.story(scenario.name)
    for domain in (scenario.name, *stage.others):
        counts_agree(exporter, witness, domain)
    counted = {"/".join(pair) for pair in exporter.journal.counted(scenario.name)}
    assert set(scenario.diagnosed) <= counted
    incidents = exporter.journal.incidents(scenario.name)
    assert tuple(incident.kind for incident in incidents) == scenario.incidents, incidents
    assert all(incident.closed_at is not None for incident in incidents), "it is gone, and so nothing is open"
