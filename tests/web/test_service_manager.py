"""What a service manager does with a service: passes its sockets, asks it to reload."""

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
from tests.web.serving import basic, hashed

START = """
import os, sys
descriptors = [int(word) for word in sys.argv[1].split(",") if word]
kept = [os.dup2(one, 100 + one) for one in descriptors]
for number, one in enumerate(kept):
    os.dup2(one, 3 + number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": "x"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""As systemd starts a service: descriptors 3, 4, ... are its sockets."""


@contextmanager
def activated(folder: Path, *sockets: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """An exporter to which these sockets are passed."""
    passed = [one.fileno() for one in sockets]
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


def test_sockets_of_systemd_are_served(tmp_path: Path) -> None:
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
        assert "descriptor 3 is no listening stream socket" in process.stderr.read()


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
    # Children must not take them for their own.
    assert environment == {"HOME": "/"}


RELOADED = "the web configuration {} was read again and is in force"


def test_sighup_reloads_the_web_configuration(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("")
    with Exporter(tmp_path, ["test:///default"], extra_args=["--web.config.file", str(file)]) as exporter:

        def reload(told: str) -> None:
            """Ask for it, and wait until the log has one more line with these words."""
            before = exporter.log_text().count(told)
            os.kill(exporter.pid, signal.SIGHUP)
            exporter.wait_until(lambda: exporter.log_text().count(told) == before + 1, what=told)

        def is_well() -> float | None:
            return exporter.value("libvirt_lifecycle_exporter_web_config_last_reload_successful")

        # Unchanged: it is read all the same.
        reload(RELOADED.format(file))
        file.write_text("surprise: 1")
        exporter.wait_until(lambda: is_well() == 0)
        # It is told each time that somebody asks.
        for _ in range(2):
            reload("surprise")
        assert is_well() == 0
        file.write_text("")
        exporter.wait_until(lambda: is_well() == 1)
        file.write_text(f"basic_auth_users: {{alice: {hashed('a')}}}")
        os.kill(exporter.pid, signal.SIGHUP)
        exporter.wait_until(lambda: exporter.status("/metrics") == 401)
        assert exporter.get("/metrics", **basic("alice", "a"))[0] == 200


def test_sighup_without_web_configuration_is_harmless(tmp_path: Path) -> None:
    with Exporter(tmp_path, ["test:///default"]) as exporter:
        os.kill(exporter.pid, signal.SIGHUP)
        exporter.wait_until(lambda: "nothing to reload" in exporter.log_text())
        assert exporter.status("/-/healthy") == 200
