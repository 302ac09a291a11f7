"""The installed service with the restrictions of its unit file and a real libvirt daemon."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.web.access import AccessControl
from tests.lab.daemon import Daemon, short_root
from tests.lab.exporter import free_port
from tests.lab.page import Page
from tests.lab.service_manager_stub import ServiceManagerStub
from tests.lab.session_daemon import SessionDaemon
from tests.lab.system_daemon import SystemDaemon
from tests.lab.waiting import until
from tests.packaging.installation import COMMAND, Installation
from tests.packaging.sandbox import PRIVATE_USERS, PYTHON, UID, Sandbox
from tests.web.running_server import RunningServer, basic_auth, bcrypt_hash

AS_ROOT = os.getuid() == 0
URI = "qemu:///system" if AS_ROOT else "qemu+unix:///session?socket=/run/libvirt/libvirt-sock"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with short_root() as root:
        for name in ("state", "notify"):
            (root / name).mkdir()
        yield root


@pytest.fixture(scope="module")
def daemon(root: Path) -> Iterator[Daemon]:
    """A system daemon with a public read-only socket; a session daemon if the tests do not run as root."""
    kind = SystemDaemon if AS_ROOT else SessionDaemon
    with kind(root / "daemon", hostname="host") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def sandbox(installed: Installation, daemon: Daemon, root: Path) -> Sandbox:
    return Sandbox(installed, root / "state", daemon.socket.parent, root / "notify")


PAIR = [("cert", "server.pem"), ("key", "server.key")]
USERS = f"basic_auth_users: {{alice: {bcrypt_hash('a')}}}\n"
DOMAIN = "<domain type='qemu'><name>seen</name><memory>8192</memory><os><type>hvm</type></os></domain>"

# Each entry tests whether the sandbox forbids an operation.
PROBES = """
import ctypes, json, mmap, os, socket, sys
def refused(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return ""
libc = ctypes.CDLL(None, use_errno=True)
def called(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno())
flags = mmap.PROT_WRITE | mmap.PROT_EXEC
json.dump({
    "write to /etc": refused(lambda: open("/etc/x", "w")),
    "write to /opt": refused(lambda: open("/opt/x", "w")),
    "write to the state": refused(lambda: open("/var/lib/libvirt-lifecycle-exporter/x", "w")),
    "see homes": refused(lambda: open("/root/.profile")),
    "read the kernel log": refused(lambda: open("/dev/kmsg")),
    "open netlink": refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "open vsock": refused(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)),
    "open tcp": refused(lambda: socket.socket()),
    "write and execute": refused(lambda: mmap.mmap(-1, 4096, prot=flags)),
    "make a namespace": refused(lambda: called(272, 0x10000000)),
    "trace": refused(lambda: called(101, 0, 0, 0, 0)),
    "become root": refused(lambda: os.setuid(0)),
}, sys.stdout)
"""
ALLOWED = {"write to the state", "open tcp"}


@contextmanager
def run_exporter(
    sandbox: Sandbox, root: Path, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (root / "exporter.log").open("wb") as log,
        subprocess.Popen(sandbox.argv(variables, COMMAND, *arguments), stderr=log, env={}) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def test_service_works_in_its_sandbox(sandbox: Sandbox, daemon: Daemon, root: Path) -> None:
    page = Page(free_port())
    variables = {
        "LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{page.port}",
        "LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI": URI,
        "NOTIFY_SOCKET": "/run/notify/notify",
        "WATCHDOG_USEC": "4000000",
    }
    log = root / "exporter.log"
    with (
        ServiceManagerStub(root / "notify") as service_manager,
        run_exporter(sandbox, root, **variables) as process,
    ):
        assert service_manager.wait_for("READY") == "1"
        until(lambda: page.status("/-/ready") == 200, 30, f"the exporter; its log is {log}")
        connection = daemon.connect()
        try:
            domain = connection.defineXML(DOMAIN)
            until(lambda: page.lifecycle_counts("seen")["defined", "added"] == 1, 30, "the event")
            domain.undefine()
            del domain
        finally:
            connection.close()
        assert service_manager.wait_for("WATCHDOG") == "1"
        process_status = status(process.pid)
        assert (process_status["NoNewPrivs"], process_status["Seccomp"]) == ("1", "2")
        if AS_ROOT:
            assert {process_status["CapEff"], process_status["CapPrm"], process_status["CapBnd"]} == {
                "0" * 16
            }
            assert set(process_status["Uid"].split()) == set(process_status["Gid"].split()) == {str(UID)}
        if PRIVATE_USERS:
            mapped = Path(f"/proc/{process.pid}/uid_map").read_text().split()
            assert mapped == ["0", "0", "1", str(UID), str(UID), "1"]
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert not [line for line in maps.splitlines() if "wx" in line.split()[1]]
        process.terminate()
        assert service_manager.wait_for("STOPPING") == "1"
        assert process.wait(20) == 0
    journal = root / "state/journal.sqlite"
    assert journal.stat().st_mode & 0o077 == 0
    result = log.read_text()
    assert "level=error" not in result
    assert "level=warning" not in result


def test_tls_and_basic_auth_work_in_the_sandbox(
    sandbox: Sandbox, root: Path, certificate_directory: Path
) -> None:
    def inline(name: str, file: str) -> str:
        return f"  {name}: |\n" + "".join(
            f"    {line}\n" for line in (certificate_directory / file).read_text().splitlines()
        )

    web = root / "state/web.yml"
    web.write_text(
        "tls_server_config:\n" + inline("cert", "server.pem") + inline("key", "server.key") + USERS
    )
    port = free_port()
    variables = {
        "LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "LIBVIRT_LIFECYCLE_EXPORTER_WEB_CONFIG_FILE": "/var/lib/libvirt-lifecycle-exporter/web.yml",
    }
    with run_exporter(sandbox, root, "demo", **variables):
        client = RunningServer(port, AccessControl(), certificate_directory)

        def answers() -> bool:
            try:
                return client.get(client.client_context(), headers=basic_auth("alice", "a"))[0] == 200
            except OSError:
                return False

        until(answers, 30, f"the exporter; its log is {root}/exporter.log")
        assert client.get(client.client_context())[0] == 401


def test_check_succeeds_with_read_only_access(sandbox: Sandbox) -> None:
    result = subprocess.run(
        sandbox.argv({}, COMMAND, "check", "--libvirt.uri", URI), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result
    assert "read-only access is enough" in result.stdout


def test_check_explains_a_user_unknown_to_the_daemon(sandbox: Sandbox) -> None:
    """As in a container whose users do not exist on the host of the daemon. Requires root."""
    argv = sandbox.argv({}, COMMAND, "check", "--libvirt.uri", URI, uid=64999)
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == (1 if AS_ROOT else 0), result
    assert ("hint: the user of the exporter does not exist on libvirt's host" in result.stdout) is AS_ROOT


def test_sandbox_forbids_everything_else(sandbox: Sandbox) -> None:
    result = subprocess.run(
        sandbox.argv({}, PYTHON, "-I", "-c", PROBES), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result
    forbidden = json.loads(result.stdout)
    assert {what for what, error in forbidden.items() if not error} == ALLOWED
