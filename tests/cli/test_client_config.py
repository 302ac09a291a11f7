"""Default URI and aliases of libvirt's client configuration, with libvirt's in-process driver."""

import subprocess
from pathlib import Path

from tests.cli.command import CLEAN_ENVIRONMENT, COMMAND, run, unprivileged_prefix


def test_libvirt_default_uri_is_the_default() -> None:
    result = run("check", LIBVIRT_DEFAULT_URI="test:///default")
    assert result.stdout.startswith("test:///default: OK"), result


def test_flag_wins_over_libvirt_default_uri() -> None:
    result = run("check", "--libvirt.uri", "x=test:///default", LIBVIRT_DEFAULT_URI="qemu:///absent")
    assert result.stdout.startswith("x: OK"), result


def test_default_and_alias_of_libvirt_conf_are_used(tmp_path: Path) -> None:
    """Runs as an unprivileged user: root's configuration file is that of the machine."""
    conf = tmp_path / "libvirt/libvirt.conf"
    conf.parent.mkdir()
    conf.write_text('uri_default = "play"\nuri_aliases = ["play=test:///default"]\n')
    for path in (tmp_path, conf.parent):
        path.chmod(0o755)
    variables = CLEAN_ENVIRONMENT | {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for arguments in ([], ["--libvirt.uri", "play"], ["--libvirt.uri", "mine=play"]):
        result = subprocess.run(
            [*unprivileged_prefix(), *COMMAND, "check", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=variables,
            cwd="/",
        )
        label = "mine" if "mine=play" in arguments else "test:///default"
        assert result.stdout.startswith(f"{label}: OK"), result


def test_unknown_alias_is_refused_in_one_line() -> None:
    result = run("check", "--libvirt.uri", "no-such-alias")
    assert result.returncode == 2
    assert 'invalid libvirt URI "no-such-alias"' in result.stderr
    assert len(result.stderr.splitlines()) == 1
