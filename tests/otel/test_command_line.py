"""OpenTelemetry on the command line: `check`, settings, console, stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter, free_port
from tests.lab.waiting import until
from tests.otel.receiver_stub import ReceiverStub, StubResponse

COMMAND = [sys.executable, "-m", "libvirt_lifecycle_exporter"]
BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ) | variables,
    )


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_check_reports_working_endpoints(session_daemon: Daemon, collector: Collector, protocol: str) -> None:
    environment = {**collector.environment(grpc=protocol == "grpc"), "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    done = run("check", "--libvirt.uri", session_daemon.uri, **environment)
    assert done.returncode == 0, done
    for signal_ in ("traces", "logs"):
        assert f"OpenTelemetry {signal_}: OK (" in done.stdout
    assert not [record for record in collector.records() if record.event.attributes == {}]


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "OTEL_EXPORTER_OTLP_HEADERS"), (404, "without a path"), (503, "HTTP status 503")],
)
def test_check_explains_an_endpoint_failure(session_daemon: Daemon, status: int, words: str) -> None:
    with ReceiverStub() as stub:
        stub.empty_response = StubResponse(status)
        done = run("check", "--libvirt.uri", session_daemon.uri, **{BASE: f"{stub.url}?key=hunter2"})
    assert done.returncode == 1
    assert words in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_check_reports_a_refused_connection(session_daemon: Daemon) -> None:
    done = run("check", "--libvirt.uri", session_daemon.uri, **{BASE: f"http://127.0.0.1:{free_port()}"})
    assert done.returncode == 1
    assert "hint: no process listens on this port" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("--journal.path", "none"), {BASE: "http://here"}, "OpenTelemetry export needs the journal"),
        ((), {BASE: "here"}, "is not a valid URL"),
        (("--otel.events", "none"), {}, "--otel.events"),
        (("--otel.max-age", "1"), {}, "invalid duration"),
    ],
)
def test_invalid_setting_is_reported_in_one_line(
    arguments: tuple[str, ...], variables: dict[str, str], words: str
) -> None:
    done = run("check", *arguments, **variables)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_console_exporter_prints_spans_and_log_records(tmp_path: Path) -> None:
    argv = [*COMMAND, "demo", "--pace", "20ms", "--web.listen-address", f"127.0.0.1:{free_port()}"]
    consoles = {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}
    out = tmp_path / "out"
    with (
        out.open("w") as file,
        subprocess.Popen(argv, stdout=file, stderr=file, env=os.environ | consoles) as demo,
    ):
        try:
            until(lambda: _is_printed(out), 30, "spans and log records on the console")
        finally:
            demo.send_signal(signal.SIGTERM)
    assert demo.returncode == 0


def _is_printed(out: Path) -> bool:
    lines = [
        json.loads(line)
        for line in out.read_text().splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
    names = {line.get("name") or line.get("event_name") for line in lines}
    return {"start domain", "libvirt.domain.started"} <= names


@pytest.mark.parametrize(
    "response", [StubResponse(hangs=True), StubResponse(503)], ids=["black-hole", "down"]
)
def test_exporter_stops_in_time_with_a_failing_receiver(
    session_daemon: Daemon, tmp_path: Path, response: StubResponse
) -> None:
    with (
        ReceiverStub(lambda _: response) as stub,
        Exporter(tmp_path, [session_daemon.test_uri], environment={BASE: stub.url}) as exporter,
    ):
        began = time.monotonic()
        assert exporter.stop() == 0
        assert time.monotonic() - began < 5
