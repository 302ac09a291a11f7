"""What a service manager is told, over a real socket of each kind, by a real exporter."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.runtime.systemd import ServiceManager
from tests.lab.exporter import Exporter, free_port
from tests.lab.supervisor import Supervisor

STALLING = Path(__file__).with_name("stalling_process.py")


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_once_it_serves_and_stopping_when_it_stops(tmp_path: Path, abstract: bool) -> None:  # noqa: FBT001 - both kinds
    with Supervisor(tmp_path, abstract=abstract) as supervisor:
        with Exporter(tmp_path, ["test:///default"], environment=supervisor.variables) as exporter:
            told = supervisor.hear()
            assert told["READY"] == "1"
            assert exporter.status("/-/healthy") == 200
            if told["STATUS"] != "listening":
                assert supervisor.wait_for("STATUS") == "listening"
        assert supervisor.wait_for("STOPPING") == "1"


def test_what_is_down_is_in_the_status(tmp_path: Path) -> None:
    absent = f"absent=qemu+unix:///session?socket={tmp_path}/none"
    with (
        Supervisor(tmp_path) as supervisor,
        Exporter(tmp_path, [absent], environment=supervisor.variables, ready=False),
    ):
        told = supervisor.hear()
        assert (told["READY"], told["STATUS"]) == ("1", "listening, but not to absent")


def test_well_as_long_as_the_event_loop_turns(tmp_path: Path) -> None:
    with Supervisor(tmp_path, watchdog=2) as supervisor, stalling(tmp_path, supervisor) as process:
        for _ in range(3):
            assert supervisor.wait_for("WATCHDOG") == "1"
        process.send_signal(signal.SIGUSR1)
        said = process.stderr
        assert said is not None
        line = next(line for line in said if "no longer told" in line)
        assert "libvirt's event loop has not turned for" in line
        supervisor.forget()
        with pytest.raises(TimeoutError):
            supervisor.wait_for("WATCHDOG", 3)
        process.send_signal(signal.SIGUSR2)
        assert supervisor.wait_for("WATCHDOG") == "1"
        process.terminate()
        assert supervisor.wait_for("STOPPING") == "1"
        assert process.wait(20) == 0


def test_a_process_that_the_watchdog_ends_says_where_it_was(tmp_path: Path) -> None:
    with Supervisor(tmp_path, watchdog=2) as supervisor, stalling(tmp_path, supervisor) as process:
        supervisor.wait_for("WATCHDOG")
        process.send_signal(signal.SIGUSR1)
        assert process.stderr is not None
        # In either order: on a busy machine it may be slow before it stands still.
        awaited = {"no longer told", "here it stands still"}
        for line in process.stderr:
            awaited -= {words for words in awaited if words in line}
            if not awaited:
                break
        process.send_signal(signal.SIGABRT)
        assert "in stall" in process.stderr.read()
        assert process.wait(20) == -signal.SIGABRT


@contextmanager
def stalling(folder: Path, supervisor: Supervisor) -> Iterator[subprocess.Popen[str]]:
    arguments = ["--libvirt.uri", "test:///default", "--web.listen-address", f"127.0.0.1:{free_port()}"]
    with subprocess.Popen(
        [sys.executable, STALLING, *arguments, "--journal.path", folder / "journal.sqlite"],
        env={**os.environ, **supervisor.variables},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_nobody_is_told_where_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}, pid=1).tell(READY="1")
    assert not caplog.text
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "none")}, pid=1).tell(READY="1")
    assert "the service manager cannot be told READY" in caplog.text


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
def test_the_watchdog_that_is_meant_for_this_process(variables: dict[str, str], seconds: float) -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", **variables}
    assert ServiceManager(environment, pid=7).watchdog == seconds
    assert environment == {}, "children would speak for us"
