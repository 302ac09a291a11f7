"""No ssh process outlives the exporter or `check`; a script replaces ssh."""

import subprocess
from pathlib import Path

import pytest

from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND
from tests.lab.exporter import Exporter
from tests.lab.waiting import until

TIMEOUT = 30.0


@pytest.fixture
def fake_ssh(tmp_path: Path) -> Path:
    """A script that writes its arguments, its pid and that of a child process, and never answers."""
    script = tmp_path / "ssh"
    script.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nsleep 600 &\necho $$ $! >{tmp_path}/pids.new\n'
        f"mv {tmp_path}/pids.new {tmp_path}/pids\nwait\n"
    )
    script.chmod(0o755)
    return script


def pids(ssh: Path) -> list[int]:
    file = ssh.with_name("pids")
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def are_gone(found: list[int]) -> bool:
    return not any(is_running(pid) for pid in found)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def uri(ssh: Path) -> str:
    return f"far=qemu+ssh://nowhere.example/system?command={ssh}"


def test_stopping_while_connecting_leaves_no_ssh(fake_ssh: Path, tmp_path: Path) -> None:
    with Exporter(tmp_path, [uri(fake_ssh)], ready=False):
        found = until(lambda: pids(fake_ssh), TIMEOUT, "ssh to run")
    until(lambda: are_gone(found), TIMEOUT, "ssh and its child to end")
    assert "BatchMode=yes" in fake_ssh.with_name("arguments").read_text()


def test_abandoned_attempt_leaves_no_ssh(fake_ssh: Path, tmp_path: Path) -> None:
    limit = ["--libvirt.connect-timeout", "500ms"]
    with Exporter(tmp_path, [uri(fake_ssh)], ready=False, extra_args=limit) as exporter:
        found = until(lambda: pids(fake_ssh), TIMEOUT, "ssh to run")
        exporter.wait_until(lambda: are_gone(found), what="ssh and its child to end")
        exporter.wait_until(lambda: pids(fake_ssh) != found, what="the next attempt")
        assert "no answer to the connection attempt within 0.5 s" in exporter.log_text()
    found = pids(fake_ssh)
    until(lambda: are_gone(found), TIMEOUT, "ssh and its child to end")


def test_check_leaves_no_ssh(fake_ssh: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "check", "--libvirt.uri", uri(fake_ssh)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=CLEAN_ENVIRONMENT,
    )
    assert result.returncode == 1, result
    assert "no answer within" in result.stdout
    found = pids(fake_ssh)
    assert len(found) == 2
    until(lambda: are_gone(found), TIMEOUT, "ssh and its child to end")
