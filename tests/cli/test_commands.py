"""The command with valid and invalid settings, `check` and `demo`."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.config.options import OPTIONS
from tests.cli.command import COMMAND, error_line, run
from tests.lab.daemon import Daemon
from tests.lab.exporter import free_port
from tests.lab.page import Page


def test_version_is_printed() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout.strip()) == (
        0,
        f"libvirt-lifecycle-exporter, version {__version__}",
    )


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "--help"], ["demo", "--help"]])
def test_help_lists_every_option_and_default(arguments: list[str]) -> None:
    result = " ".join(run(*arguments, COLUMNS="200").stdout.split())
    for option in OPTIONS:
        if arguments[0] == "demo" and option.name == "--libvirt.uri":
            continue
        assert option.name in result
        assert f"[default: {option.default}]" in result or not option.default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--web.listen-address", "10177"], 'invalid listen address "10177": use e.g. :10177'),
        (["--series.ttl", "15"], 'invalid duration "15": use e.g. 15s, 2m, 24h'),
        (["--libvirt.uri", "qemu"], 'invalid libvirt URI "qemu": use e.g. qemu:///system'),
        (
            ["--libvirt.uri", "qemu:///system", "--libvirt.uri", "qemu+unix:///system"],
            "have the connection label",
        ),
        (["--domain.include", "("], '--domain.include: invalid regular expression "("'),
        (["--series.limit", "-1"], "--series.limit"),
        (["--log.level", "loud"], "--log.level"),
        (["--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
        (["check", "--series.ttl", "x"], 'invalid duration "x"'),
        (["--web.config.file", "/none"], "--web.config.file /none: no such file"),
        (["check", "--web.config.file", "/dev/null/x"], "--web.config.file /dev/null/x: not a directory"),
        (["demo", "--web.config.file", "/"], "--web.config.file /: is a directory"),
    ],
)
def test_invalid_settings_are_refused_in_one_line(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.startswith("libvirt-lifecycle-exporter: ")
    assert len(result.stderr.splitlines()) == 1


def test_error_names_the_invalid_environment_variable() -> None:
    result = run(LIBVIRT_LIFECYCLE_EXPORTER_SERIES_TTL="soon")
    assert result.returncode == 2
    assert "LIBVIRT_LIFECYCLE_EXPORTER_SERIES_TTL" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_flags_take_precedence_over_variables() -> None:
    two = "one=test:///default two=test:///default"
    assert (
        run("check", LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI=two).stdout.count(": OK (test:///default)") == 2
    )
    result = run("check", "--libvirt.uri", "flag=test:///default", LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI=two)
    assert "flag: OK" in result.stdout
    assert "one" not in result.stdout


def test_flags_are_accepted_before_the_command() -> None:
    assert "x: OK" in run("--libvirt.uri", "x=test:///default", "check").stdout


def test_check_reports_supported_features(session_daemon: Daemon) -> None:
    result = run("check", "--libvirt.uri", session_daemon.uri)
    assert result.returncode == 0
    assert "driver QEMU, libvirt " in result.stdout
    assert "events: OK (9 of 9 event kinds are supported)" in result.stdout
    assert "hang detection by emulator, watchdog and vcpu (--hang.vcpu): OK" in result.stdout
    assert "hang detection by guest agent (--hang.guest-agent): OK (read-write access)" in result.stdout


def test_check_validates_the_web_configuration(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: $2b$04${'a' * 53}}}")
    command = ("check", "--libvirt.uri", "test:///default", "--web.config.file", str(file))
    assert f"--web.config.file {file}: OK (no TLS; users: 1)\n" in run(*command).stdout
    file.write_text("basic_auth_users: {alice: plain}")
    assert 'the value of user "alice" is not a bcrypt hash' in error_line(run(*command), 2)


def test_check_explains_a_missing_socket(tmp_path: Path) -> None:
    absent = f"absent=qemu+unix:///session?socket={tmp_path}/none"
    result = run("check", "--libvirt.uri", absent, "--libvirt.uri", "test:///default")
    assert result.returncode == 1
    assert "absent: FAILED" in result.stdout
    assert "test:///default: OK" in result.stdout
    assert "hang detection: not supported by the driver TEST" in result.stdout
    assert f"hint: the daemon's socket {tmp_path}/none does not exist" in result.stdout


def test_check_explains_denied_access_to_the_socket(own_daemon: Daemon) -> None:
    """The user has no permission to open the socket: root loses the capabilities that would allow it."""
    own_daemon.socket.chmod(0)
    capabilities = "-dac_override,-dac_read_search"
    run_unprivileged = (
        ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
        if os.getuid() == 0
        else []
    )
    result = subprocess.run(
        [*run_unprivileged, *COMMAND, "check", "--libvirt.uri", own_daemon.uri],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1, result
    assert f"hint: this user has no permission to open the socket {own_daemon.socket}" in result.stdout


def test_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--libvirt.uri", "test:///default", "--web.listen-address", f"127.0.0.1:{port}")
    assert result.returncode == 1
    assert (
        result.stderr
        == f"libvirt-lifecycle-exporter: cannot listen on 127.0.0.1:{port}: address already in use\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_demo_runs_until_a_signal_stops_it(number: signal.Signals) -> None:
    ports = (free_port(), free_port())
    addresses = [word for port in ports for word in ("--web.listen-address", f"127.0.0.1:{port}")]
    with subprocess.Popen(
        [*COMMAND, "demo", "--pace", "10ms", *addresses],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            pages = [Page(port) for port in ports]
            pages[0].wait_until(lambda: all(page.status("/-/ready") == 200 for page in pages))
            crashed = {"domain": "edge-3", "event": "stopped", "reason": "crashed"}
            pages[0].wait_until(
                lambda: (pages[0].value("libvirt_domain_lifecycle_events_total", **crashed) or 0) >= 4, 30
            )
            assert pages[1].value("libvirt_domain_openstack_meta", domain="web-1", project_name="shop") == 1
            demo.send_signal(number)
            output, log = demo.communicate(timeout=10)
        finally:
            demo.kill()
    assert demo.returncode == 0
    assert f"http://localhost:{ports[0]}/metrics" in output
    assert "level=error" not in log
