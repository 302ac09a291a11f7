"""Messages of libvirt's C library go to the log, once per cause."""

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.hypervisor.library_log import LibraryLog
from tests.cli.command import run
from tests.lab.exporter import Exporter


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Create a self-signed certificate and its key."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        f"/CN={name}",
        "-days",
        "2",
    ]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """The URI of a TLS server whose certificate the CA of the client did not sign."""
    cert, key = certificate(tmp_path, "server")
    certificate(tmp_path, "cacert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                with suppress(OSError):
                    accepted, _ = listener.accept()
                    accepted.settimeout(10)
                    with context.wrap_socket(accepted, server_side=True) as peer:
                        peer.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tls=qemu+tls://127.0.0.1:{listener.getsockname()[1]}/system?pkipath={tmp_path}"
        over.set()
        thread.join()


def test_libvirt_writes_nothing_to_stderr_on_retries(untrusted: str, tmp_path: Path) -> None:
    flags = ["--libvirt.reconnect-max-delay", "1s", "--log.level", "debug"]
    with Exporter(tmp_path, [untrusted], ready=False, extra_args=flags) as exporter:
        exporter.wait_until(lambda: exporter.log_text().count("connection down") >= 3, what="three attempts")
    lines = exporter.log_text().splitlines()
    assert [line for line in lines if not line.startswith("ts=")] == []
    assert sum("level=warning" in line and "connection=tls" in line for line in lines) == 1
    assert sum("level=warning" in line and "Certificate check failed" in line for line in lines) == 1


def test_check_prints_the_error_once(untrusted: str) -> None:
    result = run("check", "--libvirt.uri", untrusted)
    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines() if not line.startswith("ts=")] == []


def test_user_settings_take_precedence(untrusted: str, tmp_path: Path) -> None:
    file = tmp_path / "libvirt.log"
    run("check", "--libvirt.uri", untrusted, LIBVIRT_LOG_OUTPUTS=f"3:file:{file}")
    assert "warning" in file.read_text()


def test_warning_is_logged_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    lines = LibraryLog()
    for number in range(3):
        lines.write(f"2026-11-29 22:17:52.272+0000: 2{number}: warning : virFunction:731 : text {number}")
    lines.write("2026-11-29 22:17:52.272+0000: 24933: error : virFunction:731 : raised as an exception")
    lines.write("2026-11-29 22:17:52.272+0000: 24933: info : libvirt version: 9.0.0")
    lines.write("no line of libvirt's")
    assert [(record.getMessage(), record.text) for record in caplog.records] == [("libvirt log", "text 0")]  # type: ignore[attr-defined]
