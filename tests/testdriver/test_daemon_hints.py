"""The hints of `check` for a real daemon that refuses, or lets wait."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.check import check_connection
from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND, run, unprivileged_prefix
from tests.lab.daemon import Daemon, short_root
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon


class ConfiguredDaemon(SessionDaemon):
    """A daemon with further lines of configuration."""

    def __init__(self, root: Path, programs: Programs, lines: str) -> None:
        super().__init__(root, programs)
        conf = root / "config/libvirt" / f"{programs.daemon}.conf"
        conf.write_text(f"{conf.read_text()}{lines}")

    def environment(self) -> dict[str, str]:
        return super().environment() | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.root}/no-bus"}

    def start(self) -> None:
        """Returns when the daemon listens; the lab's own connection would be refused."""
        argv = [*self.programs.prefix, *self.argv()]
        self.pid = self.processes.spawn(argv, env=self.environment(), log=self.output, cwd=self.root)
        self.wait_listening()


@pytest.fixture
def configured(programs: Programs) -> Iterator[Callable[[str], Daemon]]:
    with short_root() as root, ExitStack() as daemons:
        yield lambda lines: daemons.enter_context(ConfiguredDaemon(root / "d", programs, lines))


def test_polkit_without_a_system_bus(configured: Callable[[str], Daemon]) -> None:
    """Not as root, whom libvirt does not ask polkit about."""
    daemon = configured('auth_unix_ro = "polkit"\nauth_unix_rw = "polkit"\n')
    said = subprocess.run(
        [*unprivileged_prefix(), *COMMAND, "check", "--libvirt.uri", daemon.uri],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env=CLEAN_ENVIRONMENT,
    )
    assert said.returncode == 1, said
    assert (
        "hint: libvirt's daemon uses polkit for authorization, but there is no D-Bus system bus"
        in said.stdout
    )
    assert 'auth_unix_ro = "none"' in said.stdout


def test_daemon_that_has_reached_max_clients(configured: Callable[[str], Daemon]) -> None:
    daemon = configured("max_clients = 1\nmax_anonymous_clients = 1\nmax_queued_clients = 1\n")
    connection = libvirt.openReadOnly(daemon.uri)
    try:
        result = check_connection("x", daemon.uri, 1.0)
    finally:
        connection.close()
    assert not result.is_ok
    assert result.lines[0] == "connect: FAILED: no answer within 1 s"
    assert "has reached max_clients" in result.lines[1]


def test_driver_that_the_daemon_lacks(own_daemon: Daemon) -> None:
    said = run("check", "--libvirt.uri", f"x=nosuch+unix:///system?socket={own_daemon.socket}")
    assert said.returncode == 1, said
    assert "hint: libvirt has no driver for nosuch:///system" in said.stdout


def test_socket_that_a_killed_daemon_left(own_daemon: Daemon) -> None:
    own_daemon.kill()
    said = run("check", "--libvirt.uri", own_daemon.uri)
    assert said.returncode == 1, said
    assert f"hint: the socket {own_daemon.socket} exists, but no daemon listens on it" in said.stdout
