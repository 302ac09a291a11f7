"""systemd passes sockets (socket activation) and asks for a reload (SIGHUP)."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.runtime.socket_activation import activated_sockets
from tests.lab.exporter import Exporter
from tests.lab.page import Page
from tests.web.running_server import basic_auth, bcrypt_hash

START = """
import os, sys
descriptors = [int(word) for word in sys.argv[1].split(",") if word]
copies = [os.dup2(descriptor, 100 + descriptor) for descriptor in descriptors]
for number, descriptor in enumerate(copies):
    os.dup2(descriptor, 3 + number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(copies)), "LISTEN_FDNAMES": "x"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Start a process as systemd does: its sockets are the descriptors 3, 4, ..."""


@contextmanager
def activated(folder: Path, *sockets: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """Run an exporter to which these sockets are passed."""
    passed = [passed.fileno() for passed in sockets]
    exporter = [sys.executable, "-m", "libvirt_lifecycle_exporter", "--libvirt.uri", "test:///default"]
    exporter += ["--journal.path", str(folder / "journal.sqlite"), "--web.systemd-socket"]
    with subprocess.Popen(
        [sys.executable, "-c", START, ",".join(map(str, passed)), *exporter],
        pass_fds=passed,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_passed_sockets_are_served(tmp_path: Path) -> None:
    unix = str(tmp_path / "exporter.sock")
    with ExitStack() as opened:
        first = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        second = opened.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        third = opened.enter_context(socket.socket(socket.AF_UNIX))
        third.bind(unix)
        third.listen()
        with activated(tmp_path, first, second, third):
            page = Page(first.getsockname()[1])
            page.wait_until(lambda: page.status("/-/ready") == 200)
            assert page.status("/metrics") == 200
            for client in (
                socket.create_connection(("::1", second.getsockname()[1]), 20),
                socket.socket(socket.AF_UNIX),
            ):
                with client:
                    if client.family == socket.AF_UNIX:
                        client.connect(unix)
                    client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_service_without_socket_is_refused(tmp_path: Path) -> None:
    with activated(tmp_path) as process:
        assert process.wait(60) == 1
        assert process.stderr
        assert "systemd passed no socket" in process.stderr.read()


def test_socket_that_does_not_listen_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other, activated(tmp_path, other) as process:
        assert process.wait(60) == 1
        assert process.stderr
        assert "descriptor 3 is not a listening stream socket" in process.stderr.read()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "0"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "x"},
        {"LISTEN_PID": "8", "LISTEN_FDS": "1"},
    ],
)
def test_variables_of_another_process_are_ignored(variables: dict[str, str]) -> None:
    environment = {**variables, "LISTEN_FDNAMES": "x", "HOME": "/"}
    with pytest.raises(OSError, match="systemd passed no socket"):
        activated_sockets(environment, pid=7)
    # Child processes must not use them.
    assert environment == {"HOME": "/"}


RELOADED = "web configuration reloaded"


def test_sighup_reloads_the_web_configuration(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    with Exporter(tmp_path, ["test:///default"], extra_args=["--web.config.file", str(file)]) as exporter:

        def reload(message: str) -> None:
            """Send SIGHUP, and wait until the log has one more line with this text."""
            before = exporter.log_text().count(message)
            os.kill(exporter.pid, signal.SIGHUP)
            exporter.wait_until(lambda: exporter.log_text().count(message) == before + 1, what=message)

        def last_reload_successful() -> float | None:
            return exporter.value("libvirt_lifecycle_exporter_web_config_last_reload_successful")

        # The file is read although it is unchanged.
        reload(RELOADED)
        file.write_text("surprise: 1")
        exporter.wait_until(lambda: last_reload_successful() == 0)
        # The error is logged at each SIGHUP.
        for _ in range(2):
            reload("surprise")
        assert last_reload_successful() == 0
        file.write_text("")
        exporter.wait_until(lambda: last_reload_successful() == 1)
        file.write_text(f"basic_auth_users: {{alice: {bcrypt_hash('a')}}}")
        os.kill(exporter.pid, signal.SIGHUP)
        exporter.wait_until(lambda: exporter.status("/metrics") == 401)
        assert exporter.get("/metrics", **basic_auth("alice", "a"))[0] == 200


def test_sighup_without_web_configuration_is_harmless(tmp_path: Path) -> None:
    with Exporter(tmp_path, ["test:///default"]) as exporter:
        os.kill(exporter.pid, signal.SIGHUP)
        exporter.wait_until(lambda: "nothing to reload" in exporter.log_text())
        assert exporter.status("/-/healthy") == 200
