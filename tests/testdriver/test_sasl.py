"""A real daemon that wants user and password (SASL), as Kolla, oVirt and TripleO set it up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import run
from tests.lab.daemon import Daemon, search_path, short_root
from tests.lab.exporter import Exporter
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon

SECRET = "correct-horse"  # noqa: S105 - of a daemon that lives as long as the test


class SaslDaemon(SessionDaemon):
    """Accepts the user `monitor` only, on the read-only and the read-write socket."""

    def __init__(self, root: Path, programs: Programs) -> None:
        super().__init__(root, programs)
        conf = root / "config/libvirt" / f"{programs.daemon}.conf"
        conf.write_text(f'{conf.read_text()}auth_unix_ro = "sasl"\nauth_unix_rw = "sasl"\n')
        sasl = root / "sasl"
        sasl.mkdir()
        passwords = sasl / "passwd.db"
        (sasl / "libvirt.conf").write_text(f"mech_list: scram-sha-256\nsasldb_path: {passwords}\n")
        program = shutil.which("saslpasswd2", path=search_path())
        assert program is not None
        subprocess.run(
            [program, "-p", "-a", "libvirt", "-f", str(passwords), "-u", "localhost", "monitor"],
            input=SECRET,
            text=True,
            check=True,
        )
        if os.getuid() == 0:
            for path in (sasl, *sasl.iterdir()):
                shutil.chown(path, self.uid, self.uid)

    def environment(self) -> dict[str, str]:
        return super().environment() | {"SASL_CONF_PATH": str(self.root / "sasl")}

    def start(self) -> None:
        """Returns when the daemon listens; the lab's own connection would be refused."""
        argv = [*self.programs.prefix, *self.argv()]
        self.pid = self.processes.spawn(argv, env=self.environment(), log=self.output, cwd=self.root)
        self.wait_listening()


@pytest.fixture
def sasl_daemon(programs: Programs) -> Iterator[Daemon]:
    with short_root() as root, SaslDaemon(root / "sasl", programs) as daemon:
        yield daemon


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    file = tmp_path / "auth.conf"
    file.write_text(
        f"[credentials-monitor]\nauthname=monitor@localhost\npassword={SECRET}\n"
        "[auth-libvirt-default]\ncredentials=monitor\n[auth-libvirt-localhost]\ncredentials=monitor\n"
    )
    file.chmod(0o600)
    return file


def test_authfile_of_the_uri_is_used(sasl_daemon: Daemon, auth_file: Path, tmp_path: Path) -> None:
    """By the connection for events, and by the probes, read-only and read-write."""
    uri = f"sasl={sasl_daemon.uri}&authfile={auth_file}"
    flags = ["--hang.guest-agent", "--hang.emulator-interval", "200ms", "--log.level", "debug"]
    with Exporter(tmp_path, [uri], extra_args=flags) as exporter:
        exporter.wait_until(lambda: exporter.value("libvirt_connection_up", connection="sasl") == 1)
        probed = "libvirt_lifecycle_exporter_probe_duration_seconds_count"
        exporter.wait_until(
            lambda: (exporter.value(probed, connection="sasl", signal="emulator") or 0) >= 2,
            what="two rounds",
        )
        assert SECRET not in exporter.get("/metrics")[2].decode()
        assert SECRET not in exporter.log_text()


def test_auth_conf_of_the_user_is_used_by_check(sasl_daemon: Daemon, auth_file: Path, tmp_path: Path) -> None:
    said = run("check", "--libvirt.uri", sasl_daemon.uri, LIBVIRT_AUTH_FILE=str(auth_file))
    assert said.returncode == 0, said
    assert "guest agent (--hang.guest-agent): OK (read-write access)" in said.stdout
    assert SECRET not in said.stdout + said.stderr
    config = tmp_path / "home/libvirt"
    config.mkdir(parents=True)
    auth_file.rename(config / "auth.conf")
    said = run("check", "--libvirt.uri", sasl_daemon.uri, XDG_CONFIG_HOME=str(tmp_path / "home"))
    assert said.returncode == 0, said


def test_missing_credentials_fail_without_a_prompt(sasl_daemon: Daemon, tmp_path: Path) -> None:
    said = run("check", "--libvirt.uri", sasl_daemon.uri, XDG_CONFIG_HOME=str(tmp_path))
    assert said.returncode == 1, said
    assert "authentication" in said.stdout.lower()
    assert "hint: libvirt requires user and password (SASL), but none are configured" in said.stdout
    assert said.stderr == ""


def test_wrong_password_has_a_hint(sasl_daemon: Daemon, auth_file: Path) -> None:
    auth_file.write_text(auth_file.read_text().replace(SECRET, "wrong"))
    said = run("check", "--libvirt.uri", sasl_daemon.uri, LIBVIRT_AUTH_FILE=str(auth_file))
    assert said.returncode == 1, said
    assert "hint: libvirt's daemon rejects the credentials" in said.stdout
