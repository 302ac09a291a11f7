"""Real guests: what becomes of them is a trace that can be read."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.collector import Collector, Span
from tests.lab.daemon import Daemon
from tests.lab.domain_xml import Hardware
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.waiting import until
from tests.lab.witness import Witness
from tests.qemu import plays
from tests.qemu.plays import boot_and_wait, emulator_gets
from tests.qemu.scenario import Play
from tests.qemu.stage import Stage, on_stage

Traces = Callable[..., list[Span]]


@pytest.fixture(scope="module")
def traced(
    session_daemon: Daemon, witness: Witness, collector: Collector, lab_root: Path
) -> Iterator[Exporter]:
    del witness
    environment = collector.environment()
    with Exporter(lab_root, [session_daemon.uri], environment=environment) as exporter:
        yield exporter


@pytest.fixture
def traces(
    request: pytest.FixtureRequest,
    traced: Exporter,
    collector: Collector,
    session_daemon: Daemon,
    guests: Guests,
    witness: Witness,
) -> Traces:
    """Plays, and returns the spans of the domain, in the order of the journal."""

    def of(play: Play, guest: Guest = IDLE) -> list[Span]:
        name = request.node.name
        with on_stage(Stage(name, guest, session_daemon, guests, witness)) as stage:
            play(stage)
        witness.settle()

        def told() -> list[Span]:
            spans = [span for span in collector.spans() if span.attributes.get("libvirt.domain.name") == name]
            numbers = sorted(event.number for span in spans for event in span.events)
            rows = [row.seq for row in traced.journal.rows(name)]
            return spans if rows and numbers == rows and "undefined" in spans[-1].pairs[-1] else []

        spans = until(told, 30, f"all of {name}")
        for span in spans:
            print(span.name, span.pairs, span.attributes.get("libvirt.operation.outcome"), span.links)
        return spans

    return of


@pytest.mark.parametrize(
    ("play", "guest"),
    [
        (boot_and_wait("stopped/shutdown"), Guest("poweroff")),
        (plays.managed_save, IDLE),
        (plays.save_and_restore(), IDLE),
        (plays.pause_and_resume, IDLE),
        (plays.boot_twice, Guest("panic", hardware=Hardware(panic=True, on_crash="restart"))),
        (emulator_gets(signal.SIGKILL, "stopped"), IDLE),
        (plays.start_paused, IDLE),
    ],
)
def test_x(traces: Traces, play, guest) -> None:
    traces(play, guest)
