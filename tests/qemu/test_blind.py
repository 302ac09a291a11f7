"""What happened while nobody looked is counted once, for the best reason that can be proven, and no other."""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.guests import Guests
from tests.lab.programs import Programs
from tests.lab.session import SessionDaemon
from tests.lab.witness import Witness
from tests.qemu.blindness import UNOBSERVED, Aftermath, Blindness, Telling, play, theatre
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


NIGHTS = [(blindness, unseen) for blindness in BLIND for unseen in happenings(blindness)]


@pytest.fixture(scope="module")
def aftermath(request: pytest.FixtureRequest, programs: Programs, guests: Guests) -> Iterator[Aftermath]:
    blindness: Blindness = request.param
    with (
        short_root() as root,
        SessionDaemon(root / "own", programs) as daemon,
        Witness(daemon.uri) as witness,
        theatre(daemon, guests, witness) as opened,
    ):
        yield play(opened, blindness, happenings(blindness))


@pytest.fixture
def unseen(request: pytest.FixtureRequest) -> Unseen:
    chosen: Unseen = request.param
    return chosen


each = pytest.mark.parametrize(
    ("aftermath", "unseen"),
    NIGHTS,
    indirect=True,
    ids=[f"{blindness.name}-{unseen.name}" for blindness, unseen in NIGHTS],
)
every_night = pytest.mark.parametrize(
    "aftermath", BLIND, indirect=True, ids=[blindness.name for blindness in BLIND]
)


def growth(before: Telling, after: Telling, metric: str, *labels: str) -> Counter[str]:
    return after.by(metric, *labels) - before.by(metric, *labels)


@each
def test_counted_once_for_the_best_provable_reason(aftermath: Aftermath, unseen: Unseen) -> None:
    expected = {unseen.name: unseen.expected(libvirt_is_there=aftermath.blindness.libvirt_is_there)}
    expected |= dict.fromkeys(aftermath.others[unseen.name], unseen.renamed)
    sources = {"reconcile"} if aftermath.blindness.libvirt_is_there else {"reconcile", "callback"}
    for name, pairs in expected.items():
        news = aftermath.news(name)
        assert [f"{row.event}/{row.reason}" for row in news] == list(pairs)
        assert {row.source for row in news} <= sources
        assert aftermath.after.of(name).shown == aftermath.after.of(name).counted


@each
def test_an_incident_is_opened_where_it_is_one_and_only_there(aftermath: Aftermath, unseen: Unseen) -> None:
    incidents = aftermath.new_incidents(unseen.name)
    assert [incident.kind for incident in incidents] == ([unseen.incident] if unseen.incident else [])
    assert all(incident.closed_at is None for incident in incidents)
    assert {row.incident_id for row in aftermath.news(unseen.name) if row.incident_id} == {
        incident.id for incident in incidents
    }


@every_night
def test_the_inventory_and_the_totals_grow_by_as_much(aftermath: Aftermath) -> None:
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
def test_a_restart_in_which_nothing_happens_counts_nothing(aftermath: Aftermath) -> None:
    blind = {key: value for key, value in aftermath.restarted.counters.items() if key[0] == UNOBSERVED}
    assert aftermath.restarted.accounts == aftermath.later.accounts
    assert aftermath.restarted.counters == aftermath.later.counters | blind


@every_night
def test_blind_time_is_counted(aftermath: Aftermath) -> None:
    seconds = [
        sum(value for key, value in telling.counters.items() if key[0] == UNOBSERVED)
        for telling in (aftermath.before, aftermath.after, aftermath.later, aftermath.restarted)
    ]
    print(f"{aftermath.blindness.name}: nobody looked for {aftermath.blind_for:.2f} s; counted {seconds}")
    assert seconds[1] - seconds[0] >= aftermath.blind_for
    assert seconds[2] == seconds[1]
    assert seconds[3] > seconds[2]
