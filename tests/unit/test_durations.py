"""Duration and outcome of operations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.durations import (
    BEGINS,
    OPERATIONS,
    OUTCOMES,
    Duration,
    observe,
    outage_of,
)
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.incidents import KINDS
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS
from tests.unit.factories import HERE, transition

BOOT = ("resumed/unpaused", "started/booted")
Durations = list[tuple[str, str, float]]


class Tracker:
    """Observes durations; applies hangs first, as the engine does."""

    def __init__(self, records: Records | None = None) -> None:
        self.records = Records() if records is None else records
        self._hangs = Hangs(records=self.records)

    def apply(self, change: Transition) -> list[Duration]:
        record = self.records.get(change.connection, change.uuid)
        self._hangs.apply(record, change)
        return observe(record, change)


def durations_of(*pairs: str, source: str = "callback") -> Durations:
    """Return the durations for transitions ten seconds apart."""
    operations = Tracker()
    durations = []
    for number, pair in enumerate(pairs):
        event, _, reason = pair.partition("/")
        change = transition(event, reason, at=1000.0 + 10 * number)._replace(source=source)
        durations += operations.apply(change)
    return [(one.operation, one.outcome, one.seconds) for one in durations]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(
            ("shutdown/guest", "stopped/shutdown"), [("shutdown", "success", 10)], id="guest powers off"
        ),
        pytest.param(
            ("shutdown/finished", "stopped/shutdown"), [("shutdown", "success", 10)], id="old QEMU powers off"
        ),
        pytest.param(
            ("shutdown/host", "stopped/quit"), [("shutdown", "success", 10)], id="durations to quit"
        ),
        pytest.param(
            ("shutdown/guest", "shutdown/host", "stopped/quit"),
            [("shutdown", "success", 20)],
            id="durations twice",
        ),
        pytest.param(
            ("shutdown/guest", "stopped/destroyed"),
            [("shutdown", "timeout", 10)],
            id="destroyed during the shutdown",
        ),
        pytest.param(
            ("shutdown/guest", "stopped/failed"), [("shutdown", "failed", 10)], id="fails while shutting down"
        ),
        pytest.param(
            ("shutdown/guest", "resumed/unpaused"), [("shutdown", "cancelled", 10)], id="runs on after all"
        ),
        pytest.param(("shutdown/host", "stopped/destroyed"), [], id="destroy, 11.3"),
        pytest.param(("shutdown/host", "stopped/crashed"), [], id="dump --crash, 11.3"),
        pytest.param(("shutdown/host", "stopped/migrated"), [], id="migration out, 11.3"),
        pytest.param(("shutdown/host", "stopped/from_snapshot"), [], id="revert, 11.3"),
        pytest.param(
            ("shutdown/host", *BOOT, "shutdown/guest", "stopped/shutdown"),
            [("shutdown", "success", 10)],
            id="refused coming in, 11.3, then booted",
        ),
        pytest.param(("suspended/paused", "resumed/unpaused"), [("pause", "success", 10)], id="pause"),
        pytest.param(
            ("suspended/paused", "suspended/paused", "resumed/unpaused"),
            [("pause", "success", 20)],
            id="paused twice",
        ),
        pytest.param(
            ("suspended/paused", "stopped/destroyed"),
            [("pause", "cancelled", 10)],
            id="destroyed while paused",
        ),
        pytest.param(
            ("suspended/paused", "stopped/crashed"), [("pause", "failed", 10)], id="killed while paused"
        ),
        pytest.param(
            ("suspended/paused", "crashed/panicked", "stopped/crashed"), [], id="panic, racy suspension"
        ),
        pytest.param(("suspended/paused", "stopped/from_snapshot"), [], id="listing that halts it"),
        pytest.param(("suspended/paused", "stopped/saved"), [("save", "success", 10)], id="save, 9.0"),
        pytest.param(
            ("suspended/paused", "shutdown/host", "stopped/saved"), [("save", "success", 20)], id="save, 11.3"
        ),
        pytest.param(
            ("shutdown/host", "stopped/saved"), [("save", "success", 10)], id="save of a paused one"
        ),
        pytest.param(("stopped/saved",), [], id="save of which nothing was seen"),
        pytest.param(("started/restored", "resumed/unpaused"), [("restore", "success", 10)], id="restore"),
        pytest.param(
            ("started/restored", "suspended/restored"),
            [("restore", "success", 10)],
            id="restored to be paused",
        ),
        pytest.param(("started/restored", "stopped/failed"), [("restore", "failed", 10)], id="restore fails"),
        pytest.param(
            ("started/restored", "stopped/destroyed"), [("restore", "cancelled", 10)], id="restore given up"
        ),
        pytest.param(
            ("started/migrated", "resumed/migrated"), [("migrate_in", "success", 10)], id="migration in"
        ),
        pytest.param(
            ("started/migrated", "resumed/postcopy", "resumed/migrated"),
            [("migrate_in", "success", 10)],
            id="post-copy in",
        ),
        pytest.param(
            ("started/migrated", "suspended/paused", "resumed/unpaused"),
            [("migrate_in", "success", 10), ("pause", "success", 10)],
            id="arrives paused",
        ),
        pytest.param(
            ("started/migrated", "stopped/failed"), [("migrate_in", "failed", 10)], id="dies on its way in"
        ),
        pytest.param(
            ("started/migrated", "shutdown/host", "stopped/failed"),
            [("migrate_in", "failed", 20)],
            id="dies on its way in, 11.3",
        ),
        pytest.param(
            ("started/migrated", "stopped/destroyed"),
            [("migrate_in", "cancelled", 10)],
            id="destroyed on its way in",
        ),
        pytest.param(
            ("suspended/migrated", "stopped/migrated"), [("migrate_out", "success", 10)], id="migration out"
        ),
        pytest.param(
            ("suspended/migrated", "shutdown/host", "stopped/migrated"),
            [("migrate_out", "success", 20)],
            id="migration out, 11.3",
        ),
        pytest.param(
            ("suspended/migrated", "resumed/migrated"), [("migrate_out", "failed", 10)], id="comes back"
        ),
        pytest.param(
            ("suspended/postcopy", "suspended/postcopy_failed", "stopped/migrated"),
            [("migrate_out", "success", 20)],
            id="post-copy out, broken and taken up again",
        ),
        pytest.param(
            ("suspended/migrated", "stopped/crashed"),
            [("migrate_out", "failed", 10)],
            id="killed on its way out",
        ),
        pytest.param(("hung/emulator", "recovered/emulator"), [("hang", "success", 10)], id="hang"),
        pytest.param(
            ("hung/vcpu", "hung/guest_agent", "recovered/vcpu", "recovered/guest_agent"),
            [("hang", "success", 30)],
            id="two signs of one hang",
        ),
        pytest.param(("hung/emulator", "stopped/hung"), [("hang", "failed", 10)], id="hung, destroyed"),
        pytest.param(("hung/emulator", *BOOT, "recovered/emulator"), [], id="hung, started unseen"),
        pytest.param(("recovered/emulator", "stopped/shutdown"), [], id="recovered from what was not seen"),
        pytest.param((*BOOT, "stopped/destroyed"), [], id="boot and destroy"),
    ],
)
def test_duration_and_outcome_of_operations(pairs: tuple[str, ...], expected: Durations) -> None:
    assert durations_of(*pairs) == expected
    assert durations_of(*pairs, *BOOT) == expected


def test_stop_ends_every_operation() -> None:
    started = ("suspended/paused", "suspended/migrated", "started/restored", "hung/vcpu", "stopped/unknown")
    assert durations_of(*started, *BOOT, "resumed/unpaused", "recovered/vcpu") == durations_of(*started)


def test_inferred_transition_has_no_duration() -> None:
    assert durations_of("suspended/paused", "resumed/unpaused", source="reconcile") == []
    operations = Tracker()
    operations.apply(transition("suspended", "paused")._replace(source="reconcile"))
    assert operations.apply(transition("resumed", "unpaused")) == []
    operations.apply(transition("suspended", "paused"))
    assert operations.apply(transition("resumed", "unknown")._replace(source="reconcile")) == []
    assert operations.apply(transition("stopped", "destroyed")) == []


def test_clock_that_steps_back_gives_no_negative_duration() -> None:
    operations = Tracker()
    operations.apply(transition("suspended", "paused", at=5000.0))
    assert operations.apply(transition("resumed", "unpaused", at=1000.0)) == [
        Duration(HERE, "pause", "success", 0.0)
    ]


def test_operations_of_domains_are_independent() -> None:
    operations = Tracker()
    operations.apply(transition("suspended", "paused", name="web"))
    assert operations.apply(transition("resumed", "unpaused", name="db")) == []
    elsewhere = transition("resumed", "unpaused", name="web", connection="lxc:///system")
    assert operations.apply(elsewhere) == []
    assert operations.apply(transition("resumed", "unpaused", name="web"))


def test_forgotten_domain_has_no_duration() -> None:
    operations = Tracker()
    operations.apply(transition("suspended", "paused"))
    operations.apply(transition("hung", "vcpu"))
    operations.records.drop(HERE, "uuid-web")
    assert operations.apply(transition("resumed", "unpaused")) == []
    assert operations.apply(transition("recovered", "vcpu")) == []


@pytest.mark.parametrize(
    ("begin", "end"), [("suspended/paused", "resumed/unpaused"), ("hung/vcpu", "recovered/vcpu")]
)
def test_operations_of_unlisted_domains_are_bounded(begin: str, end: str) -> None:
    operations = Tracker(Records(max_unlisted=10))
    for number in range(30):
        operations.apply(transition(*begin.split("/"), name=f"vm-{number}"))
    newest = [operations.apply(transition(*end.split("/"), name=f"vm-{number}")) for number in range(20, 30)]
    assert all(newest)
    assert operations.apply(transition(*end.split("/"), name="vm-0")) == []
    assert len(operations.records) == 10


def incident(kind: str, closed_at: float | None) -> Incident:
    return Incident("id", HERE, "uuid-web", "web", kind, 1000.0, closed_at, "stopped/crashed")


@pytest.mark.parametrize("kind", ["crashed", "failed"])
def test_incident_without_a_running_domain_is_an_outage(kind: str) -> None:
    closed = incident(kind, 1060.0)
    assert outage_of(closed) == [Duration(HERE, "outage", "success", 60.0)]
    assert outage_of(closed, removed=True) == [Duration(HERE, "outage", "cancelled", 60.0)]


def test_other_incidents_are_no_outages() -> None:
    assert outage_of(incident("hung", 1060.0)) == []
    assert outage_of(incident("io_error", 1060.0)) == []
    assert outage_of(incident("crashed", None)) == []
    assert set(KINDS) == {"crashed", "failed", "hung", "io_error"}


HANGS = tuple((event, "vcpu") for event in ("hung", "recovered"))
STEP = st.tuples(
    st.sampled_from((*ALL_PAIRS, ("stopped", "hung"), ("stopped", "quit"), *HANGS)),
    st.sampled_from(("web", "db")),
    st.floats(-10.0, 1e6),
    st.sampled_from(("callback", "callback", "probe", "reconcile")),
)


@given(st.lists(STEP, max_size=60))
def test_durations_keep_the_contract_in_any_order(
    steps: list[tuple[tuple[str, str], str, float, str]],
) -> None:
    operations, at, started, ended = Tracker(), 1e9, 0, 0
    for (event, reason), name, pause, source in steps:
        at += pause
        durations = operations.apply(transition(event, reason, name=name, at=at)._replace(source=source))
        started += len(BEGINS.get((event, reason), ())) + (event == "hung")
        ended += len(durations)
        assert len({one.operation for one in durations}) == len(durations)
        for one in durations:
            assert one.operation in OPERATIONS
            assert one.outcome in OUTCOMES
            assert one.seconds >= 0
    assert ended <= started
