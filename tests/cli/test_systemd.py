"""Notifications of a real exporter to the service manager, over both kinds of sockets."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.runtime.systemd import NotifySocket
from tests.lab.exporter import Exporter, free_port
from tests.lab.service_manager_stub import ServiceManagerStub

STALLING_EXPORTER = Path(__file__).with_name("stalling_process.py")


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_and_stopping_are_notified(tmp_path: Path, abstract: bool) -> None:  # noqa: FBT001 - a table
    with ServiceManagerStub(tmp_path, abstract=abstract) as service_manager:
        with Exporter(tmp_path, ["test:///default"], environment=service_manager.variables) as exporter:
            variables = service_manager.receive()
            assert variables["READY"] == "1"
            assert exporter.status("/-/healthy") == 200
            if variables["STATUS"] != "receiving events":
                assert service_manager.wait_for("STATUS") == "receiving events"
        assert service_manager.wait_for("STOPPING") == "1"


def test_status_names_the_connections_that_are_down(tmp_path: Path) -> None:
    absent = f"absent=qemu+unix:///session?socket={tmp_path}/none"
    with (
        ServiceManagerStub(tmp_path) as service_manager,
        Exporter(tmp_path, [absent], environment=service_manager.variables, ready=False),
    ):
        variables = service_manager.receive()
        assert (variables["READY"], variables["STATUS"]) == (
            "1",
            "receiving events; connections down: absent",
        )


def test_watchdog_is_notified_while_the_event_loop_runs(tmp_path: Path) -> None:
    with (
        ServiceManagerStub(tmp_path, watchdog=2) as service_manager,
        start_stalling_exporter(tmp_path, service_manager) as process,
    ):
        for _ in range(3):
            assert service_manager.wait_for("WATCHDOG") == "1"
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        line = next(line for line in process.stderr if "watchdog notifications suspended" in line)
        assert "libvirt's event loop has not run for" in line
        service_manager.discard()
        with pytest.raises(TimeoutError):
            service_manager.wait_for("WATCHDOG", 3)
        process.send_signal(signal.SIGUSR2)
        assert service_manager.wait_for("WATCHDOG") == "1"
        process.terminate()
        assert service_manager.wait_for("STOPPING") == "1"
        assert process.wait(20) == 0


def test_process_killed_by_the_watchdog_logs_its_stack(tmp_path: Path) -> None:
    with (
        ServiceManagerStub(tmp_path, watchdog=2) as service_manager,
        start_stalling_exporter(tmp_path, service_manager) as process,
    ):
        service_manager.wait_for("WATCHDOG")
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        # In any order: on a busy machine, the event loop may already be slow before it stalls.
        awaited = {"watchdog notifications suspended", "event loop stalled"}
        for line in process.stderr:
            awaited -= {text for text in awaited if text in line}
            if not awaited:
                break
        process.send_signal(signal.SIGABRT)
        assert "in stall" in process.stderr.read()
        assert process.wait(20) == -signal.SIGABRT


@contextmanager
def start_stalling_exporter(
    folder: Path, service_manager: ServiceManagerStub
) -> Iterator[subprocess.Popen[str]]:
    arguments = ["--libvirt.uri", "test:///default", "--web.listen-address", f"127.0.0.1:{free_port()}"]
    with subprocess.Popen(
        [sys.executable, STALLING_EXPORTER, *arguments, "--journal.path", folder / "journal.sqlite"],
        env={**os.environ, **service_manager.variables},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_failed_notification_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    NotifySocket({}, pid=1).notify(READY="1")
    assert not caplog.text
    NotifySocket({"NOTIFY_SOCKET": str(tmp_path / "none")}, pid=1).notify(READY="1")
    (record,) = caplog.records
    assert record.getMessage() == "cannot notify the service manager"
    assert record.__dict__["variables"] == "READY"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 3),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_watchdog_of_another_process_is_ignored(variables: dict[str, str], seconds: float) -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", **variables}
    assert NotifySocket(environment, pid=7).watchdog_timeout == seconds
    assert environment == {}, "child processes must not use the variables"
