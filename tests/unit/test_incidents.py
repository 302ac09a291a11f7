"""One incident for one cause, from the first evidence to the recovery."""

import pytest

from libvirt_lifecycle_exporter.engine.incidents import KINDS, incident_id
from libvirt_lifecycle_exporter.model.transitions import Incident
from tests.unit.factories import HERE
from tests.unit.incident_recorder import BOOT, IncidentRecorder, make_transition, record
from tests.unit.recorded_incidents import RecordedIncidents


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        pytest.param(("stopped/crashed", *BOOT), "crashed", id="emulator killed, started again"),
        pytest.param(
            ("crashed/panicked", "stopped/crashed", *BOOT), "crashed", id="panic, on_crash=destroy, 9.0"
        ),
        pytest.param(
            ("crashed/panicked", "shutdown/host", "stopped/crashed", *BOOT),
            "crashed",
            id="panic, on_crash=coredump-destroy, 11.3",
        ),
        pytest.param(
            ("crashed/panicked", "rebooted/reset", "resumed/unpaused"),
            "crashed",
            id="panic, on_crash=restart",
        ),
        pytest.param(
            ("crashed/panicked", "stopped/destroyed", *BOOT), "crashed", id="panic, preserved, started again"
        ),
        pytest.param(("crashed/crashloaded", "rebooted/reset"), "crashed", id="guest's own crash kernel"),
        pytest.param(
            ("crashed/crashloaded", "crashed/panicked", "stopped/crashed", *BOOT),
            "crashed",
            id="crash kernel panics too",
        ),
        pytest.param(("crashed/unknown", "resumed/unknown"), "crashed", id="found crashed, found running"),
        pytest.param(("watchdog/poweroff", "stopped/hung", *BOOT), "hung", id="watchdog switched it off"),
        pytest.param(
            ("watchdog/pause", "suspended/watchdog", "resumed/unpaused"), "hung", id="watchdog paused it"
        ),
        pytest.param(("hung/emulator", "recovered/emulator"), "hung", id="emulator answers again"),
        pytest.param(("hung/emulator", "stopped/hung", *BOOT), "hung", id="hung, destroyed"),
        pytest.param(
            ("hung/emulator", "shutdown/host", "stopped/hung", *BOOT), "hung", id="hung, destroyed, 11.3"
        ),
        pytest.param(("hung/emulator", "stopped/crashed", *BOOT), "hung", id="emulator hung, killed"),
        pytest.param(
            ("hung/vcpu", "hung/guest_agent", "recovered/vcpu", "recovered/guest_agent"),
            "hung",
            id="two signs of one hang",
        ),
        pytest.param(
            ("io_error/enospc", "suspended/ioerror", "resumed/unpaused"), "io_error", id="disk full, resumed"
        ),
        pytest.param(
            ("io_error/other", "io_error/other", "suspended/ioerror", "resumed/unpaused"),
            "io_error",
            id="several requests failed",
        ),
        pytest.param(("suspended/ioerror", "resumed/unpaused"), "io_error", id="network disk lost"),
        pytest.param(("stopped/failed", *BOOT), "failed", id="start failed, then did not"),
        pytest.param(
            ("started/migrated", "stopped/failed", "started/migrated", "resumed/migrated"),
            "failed",
            id="incoming migration died, then arrived",
        ),
        pytest.param(
            ("started/migrated", "stopped/failed") * 2 + ("started/migrated", "resumed/migrated"),
            "failed",
            id="incoming migration died twice before it arrived",
        ),
        pytest.param(
            ("suspended/postcopy", "suspended/postcopy_failed", "stopped/migrated"),
            "failed",
            id="post-copy broke and was taken up again, source",
        ),
        pytest.param(
            ("resumed/postcopy", "resumed/postcopy_failed", "resumed/migrated"),
            "failed",
            id="post-copy broke and was taken up again, destination",
        ),
        pytest.param(("stopped/crashed", "started/unknown"), "crashed", id="started unseen"),
        pytest.param(("stopped/crashed", "started/restored"), "crashed", id="restored"),
    ],
)
def test_one_cause_is_one_incident_that_closes(pairs: tuple[str, ...], kind: str) -> None:
    recorder = record(*pairs)
    assert recorder.kinds == [kind]
    assert [one.kind for one in recorder.closed] == [kind]
    assert recorder.still_open == []
    (opened,), (closed,) = recorder.opened, recorder.closed
    assert opened._replace(closed_at=closed.closed_at) == closed
    assert {belongs for belongs in recorder.ids if belongs} == {opened.id}


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param((*BOOT, "suspended/paused", "resumed/unpaused"), id="pause"),
        pytest.param(("shutdown/guest", "stopped/shutdown", *BOOT), id="planned shutdown"),
        pytest.param(("shutdown/host", "stopped/quit"), id="recorder to quit"),
        pytest.param(("stopped/destroyed",), id="destroy, 9.0"),
        pytest.param(("shutdown/host", "stopped/destroyed"), id="destroy, 11.3"),
        pytest.param(
            ("suspended/paused", "stopped/saved", "started/restored", "resumed/unpaused"), id="save"
        ),
        pytest.param(("shutdown/host", "stopped/saved"), id="save, 11.3"),
        pytest.param(("suspended/migrated", "stopped/migrated"), id="migration out"),
        pytest.param(("shutdown/host", "stopped/migrated"), id="migration out, 11.3"),
        pytest.param(("started/migrated", "resumed/migrated"), id="migration in"),
        pytest.param(("suspended/migrated", "resumed/migrated"), id="migration called off"),
        pytest.param(("suspended/postcopy", "stopped/migrated"), id="post-copy out"),
        pytest.param(("started/migrated", "resumed/postcopy", "resumed/migrated"), id="post-copy in"),
        pytest.param(("stopped/from_snapshot", "started/from_snapshot"), id="revert"),
        pytest.param(("rebooted/reset",), id="reboot"),
        pytest.param(("pmsuspended/memory", "started/wakeup"), id="suspend to memory"),
        pytest.param(("watchdog/none", "watchdog/inject_nmi"), id="watchdog that does nothing to it"),
        pytest.param(("control_error/control_error",), id="control error"),
        pytest.param(("stopped/unknown", "started/unknown"), id="missed stop of unknown reason"),
        pytest.param(("defined/added", "defined/updated", "undefined/removed"), id="description"),
    ],
)
def test_intended_transition_is_no_incident(pairs: tuple[str, ...]) -> None:
    recorder = record(*pairs)
    assert (recorder.opened, recorder.closed, set(recorder.ids)) == ([], [], {""})


@pytest.mark.parametrize("action", ["none", "report"])
def test_io_error_of_a_running_domain_is_no_incident(action: str) -> None:
    assert IncidentRecorder().apply("io_error/enospc", action=action).opened == []


def test_io_error_with_unknown_action_is_no_incident() -> None:
    assert RecordedIncidents().apply(make_transition("io_error/enospc")._replace(detail_code=99)) == ("", [])


def test_host_shutdown_opens_no_incidents() -> None:
    incidents = RecordedIncidents()
    for number in range(10):
        for pair in ("shutdown/guest", "stopped/shutdown"):
            assert incidents.apply(make_transition(pair, name=f"vm-{number}")) == ("", [])


def test_incident_has_kind_domain_time_and_cause() -> None:
    (opened,) = record("crashed/panicked").opened
    named = incident_id(HERE, "uuid-web", "crashed", 3600.0)
    assert opened == Incident(named, HERE, "uuid-web", "web", "crashed", 3600.0, None, "crashed/panicked")


def test_incident_id_is_stable_and_unique() -> None:
    assert incident_id(HERE, "uuid-web", "crashed", 1000.5) == "3bbba48ba11c9047"
    others = {
        incident_id(connection, uuid, kind, at)
        for connection in (HERE, "lxc:///system")
        for uuid in ("uuid-web", "uuid-db")
        for kind in KINDS
        for at in (1000.0, 1000.5)
    }
    assert len(others) == 2 * 2 * len(KINDS) * 2


def test_transitions_during_an_incident_have_its_id() -> None:
    recorder = record(
        "crashed/panicked", "control_error/control_error", "shutdown/host", "stopped/crashed", *BOOT
    )
    (opened,) = recorder.opened
    assert recorder.ids == [opened.id] * 5 + [""]


def test_definition_does_not_belong_to_an_incident() -> None:
    assert record("stopped/crashed", "defined/updated").ids[1] == ""
