"""Default URI and aliases, with libvirt's in-process driver; virsh reads the same."""

import subprocess
from pathlib import Path

from tests.cli.asking import CLEAN, COMMAND, run, unprivileged_prefix


def test_libvirt_default_uri_is_the_default() -> None:
    said = run("check", LIBVIRT_DEFAULT_URI="test:///default")
    assert said.stdout.startswith("test:///default: OK"), said


def test_flag_wins_over_libvirt_default_uri() -> None:
    said = run("check", "--libvirt.uri", "x=test:///default", LIBVIRT_DEFAULT_URI="qemu:///absent")
    assert said.stdout.startswith("x: OK"), said


def test_default_and_alias_of_libvirt_conf_are_used(tmp_path: Path) -> None:
    """Not as root, whose file is the machine's."""
    conf = tmp_path / "libvirt/libvirt.conf"
    conf.parent.mkdir()
    conf.write_text('uri_default = "play"\nuri_aliases = ["play=test:///default"]\n')
    for path in (tmp_path, conf.parent):
        path.chmod(0o755)
    variables = CLEAN | {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for arguments in ([], ["--libvirt.uri", "play"], ["--libvirt.uri", "mine=play"]):
        said = subprocess.run(
            [*unprivileged_prefix(), *COMMAND, "check", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=variables,
            cwd="/",
        )
        label = "mine" if "mine=play" in arguments else "test:///default"
        assert said.stdout.startswith(f"{label}: OK"), said


def test_unknown_alias_is_refused_in_one_line() -> None:
    said = run("check", "--libvirt.uri", "no-such-alias")
    assert said.returncode == 2
    assert 'invalid libvirt URI "no-such-alias"' in said.stderr
    assert len(said.stderr.splitlines()) == 1
