"""At the series limit, the aggregated ``_other`` series are the same after a kill, a stop and a repair."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.messages import Observation
from tests.journal.simulated_exporter import SimulatedExporter
from tests.unit.exporter_model import FOREVER
from tests.unit.exposition_reader import EVENTS, Samples, names, samples, value
from tests.unit.factories import HERE, facts, lifecycle, listing

NAMES = ("vm-c", "vm-a", "vm-d", "vm-b", "vm-e")
"""Not in alphabetical order, unlike the rows in a journal."""
LIMIT_ONE_DOMAIN_ONE_PAIR, LIMIT_ONE_DOMAIN = 26, 37
"""Series limits that fit one domain with one more pair, and one domain with several more pairs."""
OPEN, LAST_INCIDENT = "libvirt_domain_incident_open", "libvirt_domain_last_incident_timestamp_seconds"
VOLATILE = ("libvirt_connection_up", "libvirt_connection_unobserved_seconds_total")

Restart = Callable[[SimulatedExporter], object]


def rewrite_journal(exporter: SimulatedExporter) -> None:
    """Delete the journal, so that the exporter writes it again from memory; then kill the exporter."""
    exporter.path.unlink()
    exporter.worker.tick()
    exporter.kill()


def interrupt_journal(exporter: SimulatedExporter) -> None:
    """Block writes to the journal for some time."""
    with closing(sqlite3.connect(exporter.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        exporter.feed(
            lifecycle("defined", "updated", name=NAMES[0]), lifecycle("defined", "updated", name=NAMES[4])
        )
    exporter.worker.tick()


RESTARTS: dict[str, Restart] = {
    "killed": SimulatedExporter.kill,
    "stopped": SimulatedExporter.stop,
    "rewritten, killed": rewrite_journal,
}


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[SimulatedExporter]:
    with SimulatedExporter(tmp_path, series_limit=LIMIT_ONE_DOMAIN) as exporter:
        yield exporter


def page(sink: MetricsStore) -> Samples:
    return {key: number for key, number in samples(sink).items() if key[0] not in VOLATILE}


def crash(name: str) -> tuple[Observation, Observation]:
    return lifecycle("stopped", "crashed", name=name), lifecycle("started", "booted", name=name)


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_individual_and_aggregated_series_survive_restart(
    restart: Restart, exporter: SimulatedExporter
) -> None:
    exporter.connect_and_list(listing(*(facts(name) for name in NAMES)))
    for name in (*NAMES, NAMES[0]):
        exporter.feed(*crash(name))
    before = page(exporter.metrics)
    assert value(exporter.metrics, EVENTS, domain=NAMES[0], event="stopped", reason="crashed") == 2
    assert value(exporter.metrics, EVENTS, domain="_other", event="stopped", reason="crashed") == 4
    assert value(exporter.metrics, "libvirt_domain_incidents_total", domain="_other", kind="crashed") == 4
    for _ in range(2):
        restart(exporter)
        assert page(exporter.metrics) == before


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_refused_domains_are_counted_again_after_restart(
    restart: Restart, exporter: SimulatedExporter
) -> None:
    """The alert uses this counter, and a restart does not free any series."""
    found = listing(*(facts(name) for name in NAMES))
    exporter.connect_and_list(found)
    assert exporter.series.refused == len(NAMES) - 1
    for _ in range(2):
        restart(exporter)
        exporter.connect_and_list(found)
        assert exporter.series.refused == len(NAMES) - 1
    exporter.series_limit = LIMIT_ONE_DOMAIN * len(NAMES)
    restart(exporter)
    exporter.connect_and_list(found)
    assert exporter.series.refused == 0


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_zero_values_survive_restart(restart: Restart, exporter: SimulatedExporter) -> None:
    """The domain with series has no events; all aggregated domains have some."""
    exporter.connect_and_list(listing(*(facts(name) for name in NAMES)))
    for name in NAMES[1:]:
        exporter.feed(*crash(name))
    before = page(exporter.metrics)
    restart(exporter)
    assert page(exporter.metrics) == before


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_aggregated_pair_stays_aggregated_after_restart(restart: Restart, tmp_path: Path) -> None:
    with SimulatedExporter(tmp_path, series_limit=LIMIT_ONE_DOMAIN_ONE_PAIR) as exporter:
        exporter.connect_and_list(listing(facts("web")))
        exporter.feed(lifecycle("suspended", "paused"), lifecycle("resumed", "unpaused"), *crash("web"))
        assert value(exporter.metrics, EVENTS, domain="web", event="suspended", reason="paused") == 1
        assert value(exporter.metrics, EVENTS, domain="_other", event="resumed", reason="unpaused") == 1
        for _ in range(2):
            before = page(exporter.metrics)
            restart(exporter)
            assert page(exporter.metrics) == before
            exporter.feed(lifecycle("suspended", "paused"), lifecycle("resumed", "unpaused"), *crash("web"))


def test_recovered_domain_keeps_other_aggregated_incidents(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(*(facts(name) for name in NAMES)))
    exporter.feed(
        lifecycle("stopped", "crashed", name=NAMES[1]), lifecycle("stopped", "crashed", name=NAMES[2])
    )
    newest = value(
        exporter.metrics, "libvirt_domain_last_incident_timestamp_seconds", domain="_other", kind="crashed"
    )
    exporter.feed(lifecycle("started", "booted", name=NAMES[1]))
    shown = {"domain": "_other", "kind": "crashed"}
    assert value(exporter.metrics, "libvirt_domain_incident_open", **shown) == 1
    assert value(exporter.metrics, "libvirt_domain_last_incident_timestamp_seconds", **shown) == newest
    exporter.feed(lifecycle("started", "booted", name=NAMES[2]))
    assert value(exporter.metrics, "libvirt_domain_incident_open", **shown) == 0


@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS)
def test_ended_incident_is_still_shown_after_restart(restart: Restart, exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(facts("web"), facts("idle")))
    exporter.feed(*crash("web"))
    for _ in range(2):
        assert value(exporter.metrics, OPEN, domain="web", kind="crashed") == 0
        assert value(exporter.metrics, OPEN, domain="web", kind="hung") is None
        assert value(exporter.metrics, OPEN, domain="idle", kind="crashed") is None
        restart(exporter)


def test_domain_admitted_later_has_series_from_then_on(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(facts(NAMES[0]), facts(NAMES[1])))
    exporter.feed(*crash(NAMES[1]))
    exporter.feed(
        lifecycle("stopped", "destroyed", name=NAMES[0]), lifecycle("undefined", "removed", name=NAMES[0])
    )
    exporter.advance(2e12)
    exporter.feed(*crash(NAMES[1]))
    crashed = {"event": "stopped", "reason": "crashed"}
    for _ in range(2):
        assert value(exporter.metrics, EVENTS, domain=NAMES[1], **crashed) == 1
        assert value(exporter.metrics, EVENTS, domain="_other", **crashed) == 1
        assert value(exporter.metrics, EVENTS, domain=NAMES[0], **crashed) is None
        exporter.kill()


def test_removed_aggregated_domains_leave_no_state(exporter: SimulatedExporter) -> None:
    exporter.connect_and_list(listing(facts("first")))
    for number in range(20):
        name = f"ci-{number}"
        exporter.feed(lifecycle("started", "booted", name=name), lifecycle("stopped", "failed", name=name))
        exporter.advance()
    exporter.advance(2e12)
    assert exporter.saved_state().aggregated == frozenset()
    assert names(exporter.metrics) == {"first", "_other"}


def test_count_after_series_expiry_starts_at_one(tmp_path: Path) -> None:
    """The reason of a stop may be known only after the series of the removed domain have expired."""
    with SimulatedExporter(tmp_path, ttl=0.0) as exporter:
        exporter.connect_and_list(listing(facts("web", persistent=False)))
        exporter.feed(lifecycle("suspended", "paused"), lifecycle("stopped", "failed"))
        exporter.advance(5.0)
        crashed = (HERE, "web", "stopped", "crashed")
        assert value(exporter.metrics, EVENTS, domain="web", event="stopped", reason="crashed") == 1
        assert value(exporter.metrics, EVENTS, domain="web", event="suspended", reason="paused") is None
        counts = {
            key: count for key, (count, _) in exporter.saved_state().counts.items() if key[2] != "incident"
        }
        assert counts == {crashed: 1}
        exporter.advance()
        assert names(exporter.metrics) == set()
        assert exporter.saved_state().counts == {}


EVENT = st.sampled_from(
    [
        ("stopped", "crashed"),
        ("stopped", "destroyed"),
        ("stopped", "failed"),
        ("started", "booted"),
        ("suspended", "ioerror"),
        ("suspended", "paused"),
        ("resumed", "unpaused"),
        ("defined", "added"),
        ("undefined", "removed"),
        ("shutdown", "guest"),
    ]
)
ACTION = st.tuples(st.sampled_from(NAMES), EVENT) | st.sampled_from(
    ["killed", "stopped", "rewritten", "interrupted", "later"]
)
SCRATCH_ROOT = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - emptied afterwards


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    limit=st.integers(0, 4 * LIMIT_ONE_DOMAIN),
    ttl=st.sampled_from((FOREVER, 5.0, 0.0)),
    actions=st.lists(ACTION, max_size=40),
)
def test_restart_shows_the_same_page_after_any_sequence(
    limit: int, ttl: float, actions: list[object]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=SCRATCH_ROOT))
    try:
        with SimulatedExporter(folder, series_limit=limit, ttl=ttl) as exporter:
            exporter.connect_and_list(listing(*(facts(name) for name in NAMES[:3])))
            for action in actions:
                if isinstance(action, tuple):
                    name, (event, reason) = action
                    exporter.feed(lifecycle(event, reason, name=name))
                    continue
                exporter.advance()
                before = page(exporter.metrics)
                if action == "later":
                    exporter.advance()
                elif action == "interrupted":
                    interrupt_journal(exporter)
                    before = page(exporter.metrics)
                    exporter.kill()
                    assert page(exporter.metrics) == before
                else:
                    RESTARTS["rewritten, killed" if action == "rewritten" else str(action)](exporter)
                    assert page(exporter.metrics) == before
                assert exporter.metrics.series == sum(
                    "domain" in dict(has) for _, has in samples(exporter.metrics)
                )
    finally:
        shutil.rmtree(folder)
