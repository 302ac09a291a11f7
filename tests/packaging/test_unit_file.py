"""The unit file and its user, checked with the tools of systemd."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.installation import COMMAND
from tests.packaging.unit_file import FILE, SYSUSERS, directives

INSTALL = Path(__file__).parents[2] / "docs/install.md"
MAX_EXPOSURE = 2.0
UNITS = Path("/usr/lib/systemd/system")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with the files that the unit refers to."""
    for folder in ("etc/systemd/system", "usr/lib/systemd/system", str(COMMAND.parent.relative_to("/"))):
        (tmp_path / folder).mkdir(parents=True)
    for target in UNITS.glob("*.target"):
        shutil.copy(target, tmp_path / "usr/lib/systemd/system")
    for program in (COMMAND, Path("/bin/kill")):
        command = tmp_path / program.relative_to("/")
        command.parent.mkdir(exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    shutil.copy(FILE, tmp_path / "etc/systemd/system")
    return tmp_path


def verify(root: Path) -> str:
    """Return the findings of `systemd-analyze verify`, an empty string if there are none."""
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", FILE.name],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr + ("failed" if done.returncode else "")


def exposure_level(root: Path) -> float:
    """Return the exposure level: 0 (none) to 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", FILE.name],
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    return float(found)


def test_systemd_accepts_the_unit_file(root: Path) -> None:
    assert verify(root) == ""


def test_systemd_reports_an_invalid_unit_file(root: Path) -> None:
    with (root / "etc/systemd/system" / FILE.name).open("a") as unit:
        unit.write("[Service]\nRestart=alwayz\n")
    assert "Failed to parse service restart specifier" in verify(root)


def test_exposure_level_is_low(root: Path) -> None:
    level = exposure_level(root)
    print(f"systemd-analyze security: {level}")
    assert level <= MAX_EXPOSURE


def test_documented_drop_in_raises_exposure_only_slightly(root: Path) -> None:
    text = INSTALL.read_text()
    (drop_in,) = (found for found in re.findall(r"```ini\n(.*?)```", text, re.DOTALL) if "[Service]" in found)
    folder = root / f"etc/systemd/system/{FILE.name}.d"
    folder.mkdir()
    before = exposure_level(root)
    (folder / "words.conf").write_text(drop_in)
    assert verify(root) == ""
    level = exposure_level(root)
    print(f"systemd-analyze security, with the drop-in: {level}")
    assert before < level <= MAX_EXPOSURE + 1


def test_required_directives_are_set() -> None:
    found = directives()
    for name, value in {
        "Type": "notify",
        "Restart": "always",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "MemoryDenyWriteExecute": "yes",
        "StateDirectory": "libvirt-lifecycle-exporter",
        "ExecStart": str(COMMAND),
    }.items():
        assert found[name] == [value], name
    assert found["SystemCallFilter"][0] == "@system-service"
    assert "WatchdogSec" in found


def test_sysusers_creates_the_user_of_the_unit(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    result = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", SYSUSERS], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result
    (user,) = directives()["User"]
    users = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    assert [(one[0], one[6]) for one in users] == [(user, "/usr/sbin/nologin")]
    assert (tmp_path / "etc/group").read_text().startswith(f"{directives()['Group'][0]}:")
