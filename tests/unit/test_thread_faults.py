"""Every thread of the exporter recovers from an injected exception, which is counted."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest
from starlette.responses import PlainTextResponse

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.connection import Connection, ConnectionSettings
from libvirt_lifecycle_exporter.hypervisor.demo import DemoScenario
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP, EventLoop
from libvirt_lifecycle_exporter.hypervisor.evidence import LimitedReader
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.probes import Probe, ProbeContext
from libvirt_lifecycle_exporter.journal.export_items import TRACES, ExportItem
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.metrics.self_metrics import probe_duration_histogram
from libvirt_lifecycle_exporter.model.messages import Listing
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus
from libvirt_lifecycle_exporter.otel.sender import SignalSender
from libvirt_lifecycle_exporter.runtime.systemd import NotifySocket, StatusNotifier
from libvirt_lifecycle_exporter.runtime.threads import (
    CONNECTION,
    DEMO,
    EVENT_LOOP,
    JOURNAL_MAINTENANCE,
    OTLP_SENDER,
    PROBE,
    SERVICE_MANAGER,
    WEB_CONFIG,
    WEB_SERVER,
    ThreadRegistry,
)
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.server import Server, bind
from tests.lab.page import Page
from tests.lab.waiting import until
from tests.unit.fake_libvirt import BrokenDomain, FakeConnection, LossRecorder

SOON = 20.0


class FailsFirst:
    """A callable that raises RuntimeError the first ``times`` times, then calls ``then``."""

    def __init__(self, then: Callable[..., Any], times: int = 1) -> None:
        self._then = then
        self.left = times
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise RuntimeError("injected")
        return self._then(*arguments)


@pytest.fixture
def threads() -> Iterator[ThreadRegistry]:
    registry = ThreadRegistry()
    yield registry
    assert registry.ended() == []


def test_connection_thread_recovers_from_a_failing_opener(threads: ThreadRegistry) -> None:
    LOOP.start()
    message_queue = MessageQueue(100)
    settings = ConnectionSettings(max_reconnect_delay=0.1)
    opener = FailsFirst(libvirt.openReadOnly, 2)
    connection = Connection("here", "test:///default", message_queue, settings, opener, threads=threads)
    connection.start()
    try:
        until(
            lambda: any(isinstance(message, Listing) for message in message_queue.take(100, 0.1)),
            SOON,
            "a listing",
        )
        assert threads.errors[CONNECTION] == 2
    finally:
        connection.stop()
        assert connection.join(SOON)


def test_evidence_thread_recovers_from_a_failing_function(threads: ThreadRegistry) -> None:
    reader = LimitedReader(SOON, threads)
    function = FailsFirst(lambda: "because")
    assert [reader.read(function), reader.read(function)] == ["", "because"]
    assert threads.errors[CONNECTION] == 1


def test_event_loop_pauses_longer_after_each_failure(caplog: pytest.LogCaptureFixture) -> None:
    threads, pauses = ThreadRegistry(), list[float]()
    run_once = FailsFirst(lambda: None, 8)
    loop = EventLoop(run_once, pauses.append, threads)
    for _ in range(9):
        loop.iterate()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert threads.errors[EVENT_LOOP] == 8
    assert len(caplog.records) == 1
    run_once.left = 1
    loop.iterate()
    assert pauses[-1] == 0.1


@pytest.mark.parametrize("kind", ["lifecycle", "reboot"])
def test_callback_exception_is_logged_once_with_traceback(
    kind: str, threads: ThreadRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    connection, message_queue, losses = FakeConnection(), MessageQueue(10), LossRecorder()
    EventCallbacks("here", message_queue, losses, threads).register(connection)
    for _ in range(3):
        connection.send(kind, BrokenDomain(), *((5, 2) if kind == "lifecycle" else ()))
    assert (message_queue.dropped["callback_error"], losses.count, threads.errors[EVENT_LOOP]) == (3, 3, 3)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_callback_survives_a_failing_listing_request(threads: ThreadRegistry) -> None:
    connection = FakeConnection()
    EventCallbacks("here", MessageQueue(0), FailsFirst(lambda: None), threads).register(connection)
    connection.send("lifecycle", BrokenDomain(), 5, 2)
    assert threads.errors[EVENT_LOOP] == 2


class FakeProbe(Probe):
    signal = "vcpu"

    def __init__(self, context: ProbeContext, steps: dict[str, Callable[[], Any]]) -> None:
        super().__init__(context, 0.01)
        self._steps = steps
        self.closed = threading.Event()

    def run_round(self) -> None:
        self._steps["round"]()

    def run_between_rounds(self) -> float:
        return float(self._steps["between"]())

    def reset(self) -> None:
        self._steps["rest"]()

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("step", ["is_up", "round", "between", "rest"])
def test_probe_thread_recovers_from_a_fault(step: str, threads: ThreadRegistry) -> None:
    up = itertools.cycle([True, True, False])
    steps: dict[str, Callable[[], Any]] = {
        "is_up": lambda: next(up),
        "round": lambda: None,
        "between": lambda: 0.0,
        "rest": lambda: None,
    }
    steps[step] = FailsFirst(steps[step])
    context = ProbeContext(
        "here",
        MessageQueue(10),
        partial(probe_duration_histogram().labels, "here"),
        lambda: bool(steps["is_up"]()),
        lambda _name: True,
        lambda: None,
        lambda: None,
        threads,
    )
    probe = FakeProbe(context, steps)
    probe.start()
    failing = steps[step]
    assert isinstance(failing, FailsFirst)
    until(lambda: failing.calls > 1, SOON, f"the step {step} after its fault")
    assert threads.errors[PROBE] == 1
    assert not probe.closed.is_set()
    probe.stop()
    assert probe.join(SOON)
    assert probe.closed.is_set()


class FakePoolConnection:
    """A connection of a call pool."""

    def __init__(self, close: Callable[[], Any]) -> None:
        self._close = close

    def setKeepAlive(self, *_: int) -> int:  # noqa: N802 - libvirt's name
        return 0

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        return True

    def close(self) -> Any:
        return self._close()


@pytest.mark.parametrize("place", ["open", "call", "close"])
def test_call_pool_recovers_from_a_fault(place: str, threads: ThreadRegistry) -> None:
    fault = FailsFirst(lambda: None)
    closed = threading.Event()

    def close() -> None:
        if place == "close":
            closed.set()
            fault()

    def opener() -> FakePoolConnection:
        if place == "open":
            fault()
        return FakePoolConnection(close)

    def call(_connection: object) -> str:
        if place == "call":
            fault()
        return "answer"

    pool = CallPool("pool", opener, max_connections=1, threads=threads)
    for _ in range(2):
        answers = pool.run({"web": call}, concurrency=1, timeout=SOON)
    assert answers == {"web": "answer"}
    assert not pool.hanging()
    pool.stop()
    if place == "close":
        assert closed.wait(SOON)
    until(lambda: threads.errors[PROBE] == 1, SOON, "the fault to be counted")


def test_journal_maintenance_recovers_from_a_fault(tmp_path: Path, threads: ThreadRegistry) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.restore()
    removal_time = FailsFirst(time.time, 2)
    keeper = JournalMaintenance(
        journal, max_age=1, max_bytes=0, removal_time=removal_time, threads=threads, interval=0.01
    )
    keeper.start()
    until(lambda: removal_time.calls > 2, SOON, "maintenance after its faults")
    assert threads.errors[JOURNAL_MAINTENANCE] == 2
    keeper.stop(SOON)
    journal.close()


class FailingExporter:
    """Raises at every call unless it is switched off."""

    def __init__(self, export: Callable[[Sequence[ExportItem]], ExportResult]) -> None:
        self.export = export

    def abort(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_otlp_sender_recovers_from_a_failing_clock(tmp_path: Path, threads: ThreadRegistry) -> None:
    tracing = SpanRecorder("host", traces=True, logs=False, runs=False)
    journal = Journal(tmp_path / "journal.sqlite", span_recorder=tracing)
    journal.restore()
    clock = FailsFirst(lambda: 1000.0)
    exporter = FailingExporter(lambda _: ExportResult(ExportStatus.DELIVERED))
    queue = ExportQueue(journal, tracing)
    sender = SignalSender(
        TRACES, queue, exporter, max_age=0, rate=0, clock=clock, threads=threads, max_backoff=0.05
    )
    sender.start()
    until(lambda: clock.calls > 2, SOON, "the sender after its fault")
    assert threads.errors[OTLP_SENDER] == 1
    sender.stop(SOON)
    journal.close()


def test_web_server_thread_recovers_from_a_fault(threads: ThreadRegistry) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("hello")(scope, receive, send)

    sockets = bind("127.0.0.1", 0)
    ended = threading.Event()
    server = Server(
        application,
        [FailsFirstSocket(sockets[0]), *sockets[1:]],  # type: ignore[list-item]
        ended.set,
        threads=threads,
    )
    server.start()
    page = Page(sockets[0].getsockname()[1])
    try:
        until(lambda: page.status("/") == 200, SOON, "the server after its fault")
        assert threads.errors[WEB_SERVER] == 1
        assert not ended.is_set()
    finally:
        server.stop(SOON)
    assert ended.is_set()


class FailsFirstSocket:
    """A listening socket whose first use raises."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.setblocking = FailsFirst(listening.setblocking)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def test_web_config_thread_recovers_from_a_fault(tmp_path: Path, threads: ThreadRegistry) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    clock = FailsFirst(lambda: 0.0, 0)
    access = AccessControl(str(file), clock, threads)
    clock.left = 1
    access.start()
    try:
        file.write_text("http_server_config: {}\n")
        until(lambda: threads.errors[WEB_CONFIG] == 1, SOON, "the fault")
        file.write_text("http_server_config: {http2: true}\n")
        until(lambda: clock.calls > 2, SOON, "a look after the fault")
    finally:
        access.stop()


def test_service_manager_thread_recovers_from_a_fault(threads: ThreadRegistry) -> None:
    status = FailsFirst(lambda: "listening", 0)
    notifier = StatusNotifier(
        NotifySocket({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "40000"}, pid=1),
        event_loop_age=lambda: 0.0,
        unhealthy_reason=lambda: None,
        status=status,
        threads=threads,
    )
    notifier.start()
    status.left = 1
    until(lambda: status.calls > 2, SOON, "the thread after its fault")
    assert threads.errors[SERVICE_MANAGER] == 1
    notifier.stop()


def test_demo_thread_recovers_from_a_fault(threads: ThreadRegistry) -> None:
    LOOP.start()
    opener = FailsFirst(libvirt.open)
    demo = DemoScenario(60.0, threads, opener)
    demo.start()
    until(lambda: opener.calls > 1, SOON, "the demo after its fault")
    assert threads.errors[DEMO] == 1
    demo.stop()
