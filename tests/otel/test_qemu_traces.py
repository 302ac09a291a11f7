"""Traces of real guests."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.collector import Collector, Span
from tests.lab.daemon import Daemon
from tests.lab.domain_xml import Hardware
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.hosts import Hosts
from tests.lab.waiting import until
from tests.otel.journal_comparison import compare, read_rows
from tests.qemu import operations
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.hang_driver import SHORT_TIMEOUTS
from tests.qemu.migration_driver import MigrationDriver
from tests.qemu.operations import boot_and_wait, signal_emulator_and_wait
from tests.qemu.scenario import Operation

PANICS = Guest("panic", hardware=Hardware(panic=True, on_crash="restart"))
START = "start domain"


class DomainSpans:
    """The spans of one domain, in the order of the journal."""

    def __init__(self, spans: list[Span]) -> None:
        self.spans = sorted(spans, key=lambda span: span.events[0].number)
        self.names = [span.name for span in self.spans]

    def __str__(self) -> str:
        return "\n".join(f"{span.name}: {' '.join(span.pairs)}" for span in self.spans)

    def one(self, name: str) -> Span:
        """The first of this name."""
        return next(span for span in self.spans if span.name == name)

    def outcome(self, name: str) -> str | None:
        return self.one(name).attributes.get("libvirt.operation.outcome")

    def linked(self, name: str, relation: str) -> list[str]:
        ids = self.one(name).linked(relation)
        return [span.name for span in self.spans if span.span_id in ids]


RunScenario = Callable[..., DomainSpans]


@pytest.fixture(scope="module")
def traced(
    session_daemon: Daemon, recorder: EventRecorder, collector: Collector, lab_root: Path
) -> Iterator[Exporter]:
    del recorder  # starts before the exporter
    flags = (*SHORT_TIMEOUTS, "--libvirt.log-dir", str(session_daemon.root / "cache/libvirt/qemu/log"))
    environment = collector.environment()
    with Exporter(lab_root, [session_daemon.uri], extra_args=flags, environment=environment) as exporter:
        yield exporter
        compare(collector, exporter.journal.path)


@pytest.fixture
def driver(
    request: pytest.FixtureRequest, session_daemon: Daemon, guests: Guests, recorder: EventRecorder
) -> Callable[[Guest], DomainDriver]:
    return lambda guest: DomainDriver(request.node.name, guest, session_daemon, guests, recorder)


@pytest.fixture
def run_scenario(
    driver: Callable[[Guest], DomainDriver], traced: Exporter, collector: Collector
) -> RunScenario:
    """Run a scenario; return the spans of the domain once it is removed."""

    def of(play: Operation, guest: Guest = IDLE) -> DomainSpans:
        with managed_domain(driver(guest)) as managed:
            name = managed.name
            play(managed)
        return domain_spans(collector, traced, name)

    return of


def domain_spans(
    collector: Collector,
    exporter: Exporter,
    name: str,
    connection: str | None = None,
    last: str = "undefined/removed",
) -> DomainSpans:
    def complete_spans() -> list[Span]:
        spans = [
            span
            for span in collector.spans()
            if span.attributes.get("libvirt.domain.name") == name
            and connection in (None, span.attributes["libvirt.connection.uri"])
        ]
        numbers = sorted(event.number for span in spans for event in span.events)
        rows = [row.seq for row in exporter.journal.rows(name, connection)]
        gone = any(last in span.pairs for span in spans)
        return spans if gone and numbers == rows else []

    found = DomainSpans(until(complete_spans, 30, f"all spans of {name}"))
    print(found)
    return found


def test_boot_and_shutdown(run_scenario: RunScenario) -> None:
    found = run_scenario(boot_and_wait("stopped/shutdown"), Guest("poweroff"))
    assert found.names == ["define domain", START, "shut down domain", "undefine domain"]
    assert found.one(START).pairs == ["resumed/unpaused", "started/booted"]
    shutdown = found.one("shut down domain")
    assert shutdown.pairs == ["shutdown/guest", "stopped/shutdown"]
    assert (shutdown.began, shutdown.ended) == (shutdown.events[0].at, shutdown.events[1].at)
    assert found.outcome("shut down domain") == "success"
    assert found.linked("shut down domain", "run") == [START]
    assert not any(span.is_error for span in found.spans)
    runs = {span.attributes.get("libvirt.domain.run.id") for span in found.spans[1:3]}
    assert len(runs) == 1


def test_panic_and_restart(run_scenario: RunScenario) -> None:
    found = run_scenario(operations.boot_twice, PANICS)
    crash = found.one("domain crashes")
    assert crash.is_error
    assert crash.attributes["error.type"] == "libvirt.domain.crashed.panicked"
    # It is sent immediately; the end of the incident is a span of its own.
    assert crash.pairs == ["crashed/panicked"]
    incident = crash.attributes["libvirt.incident.id"]
    of_incident = [span for span in found.spans if span.attributes.get("libvirt.incident.id") == incident]
    assert len(of_incident) > 1
    assert crash.span_id in of_incident[-1].linked("entry")
    assert of_incident[-1].attributes["libvirt.condition.duration"] > 0


def test_message_of_terminated_emulator_is_sent(run_scenario: RunScenario, traced: Exporter) -> None:
    """The exporter waits for the evidence before it sends the span."""

    def terminated(driver: DomainDriver) -> None:
        signal_emulator_and_wait(signal.SIGTERM, "stopped")(driver)
        traced.wait_until(lambda: any(row.message for row in traced.journal.rows(driver.name)))

    found = run_scenario(terminated)
    events = [event for span in found.spans for event in span.events]
    (stop,) = (event for event in events if event.name == "libvirt.domain.stopped")
    assert stop.attributes["libvirt.domain.event.reason"] == "quit"
    assert "signal 15" in stop.attributes["libvirt.domain.message"]


def test_killed_emulator(run_scenario: RunScenario) -> None:
    found = run_scenario(signal_emulator_and_wait(signal.SIGKILL, "stopped"))
    stop = found.one("stop domain")
    assert stop.is_error
    assert stop.attributes["error.type"] == "libvirt.domain.stopped.crashed"
    attributes = stop.events[0].attributes
    assert (attributes["libvirt.domain.event.reason"], attributes["libvirt.domain.event.detail"]) == (
        "crashed",
        "failed",
    )
    # SIGKILL leaves no evidence.
    assert "libvirt.domain.message" not in attributes


@pytest.mark.parametrize("restarts", [False, True], ids=["one exporter", "exporter restarts"])
def test_hang_and_recover(run_scenario: RunScenario, traced: Exporter, *, restarts: bool) -> None:
    def hangs(driver: DomainDriver) -> None:
        driver.boot()
        driver.signal_emulator(signal.SIGSTOP)
        try:
            wait_row(traced, driver.name, "hung")
            if restarts:
                traced.kill()
                traced.again()
        finally:
            driver.signal_emulator(signal.SIGCONT)
        wait_row(traced, driver.name, "recovered")

    found = run_scenario(hangs)
    hang, recovery = found.one("domain hangs"), found.one("domain recovers")
    assert hang.is_error
    assert hang.attributes["error.type"] == "libvirt.domain.hung.emulator"
    assert hang.events[0].attributes["libvirt.event.source"] == "probe"
    assert recovery.linked("entry") == [hang.span_id]
    assert recovery.attributes["libvirt.condition.duration"] > 0
    assert recovery.attributes["libvirt.incident.id"] == hang.attributes["libvirt.incident.id"]
    assert not recovery.is_error


def wait_row(exporter: Exporter, name: str, event: str) -> None:
    exporter.wait_until(
        lambda: event in [row.event for row in exporter.journal.rows(name)], 60, f"{name}: {event}"
    )


def test_plain_destroy_is_no_error(run_scenario: RunScenario) -> None:
    found = run_scenario(operations.destroy)
    assert found.names == ["define domain", START, "stop domain", "undefine domain"]
    assert not any(span.is_error for span in found.spans)


@pytest.mark.parametrize(
    "play", [operations.managed_save, operations.save_and_restore()], ids=["managed", "file"]
)
def test_save_and_restore(run_scenario: RunScenario, play: Operation) -> None:
    found = run_scenario(play)
    assert "suspended/paused" in found.one("pause domain").pairs
    assert found.one("save domain").pairs[-1] == "stopped/saved"
    assert found.outcome("save domain") == "success"
    assert found.linked("save domain", "entry") == ["pause domain"]
    assert found.one("save domain").began == found.one("pause domain").began
    assert found.one("restore domain").pairs[0] == "started/restored"
    assert found.outcome("restore domain") == "success"


def test_pause_and_resume(run_scenario: RunScenario) -> None:
    found = run_scenario(operations.pause_and_resume)
    assert found.linked("resume domain", "entry") == ["pause domain"]
    assert found.linked("resume domain", "previous") == ["pause domain"]
    assert found.one("resume domain").attributes["libvirt.condition.duration"] > 0


def test_live_migration(hosts: Hosts, guests: Guests, tmp_path: Path) -> None:
    """One exporter observes both hosts; the spans of both sides are linked."""
    name = "otel-moves"
    migration = MigrationDriver(name, Guest("idle"), hosts, guests)
    uris = [f"{host.name}={host.daemon.uri}" for host in (hosts.here, hosts.there)]
    with (
        Collector(tmp_path) as collector,
        Exporter(tmp_path, uris, environment=collector.environment()) as exporter,
    ):
        try:
            migration.boot()
            migration.migrate()
        finally:
            migration.clear()
            migration.close()
        here = domain_spans(collector, exporter, name, "here")
        there = domain_spans(collector, exporter, name, "there", "stopped/destroyed")
        out, into = here.one("migrate domain out"), there.one("migrate domain in")
        assert here.outcome(out.name) == there.outcome(into.name) == "success"
        assert out.pairs[0] == "suspended/migrated"
        assert out.pairs[-1] == "stopped/migrated"
        assert into.pairs[0] == "started/migrated"
        assert into.pairs[-1].startswith("resumed/")
        assert into.span_id in out.linked("peer") or out.span_id in into.linked("peer")
        assert not out.is_error
        assert not into.is_error
        assert {row.connection for row in read_rows(exporter.journal.path)} == {"here", "there"}
