"""The hints of `check`, with a real TLS server, real ports, and a script instead of ssh."""

import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.command import run

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"
WRONG_KEY = "u@h1: Permission denied (publickey)."
LEAF = "keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n"


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class Authority:
    """A certificate authority in its own directory."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        folder.mkdir()
        usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"]
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2"]
        openssl(folder, *new, "-keyout", "ca.key", "-out", "ca.pem", *usage)

    def issue(self, name: str, names: str = NAMES, days: int = 2) -> tuple[Path, Path]:
        """Issue a certificate; return the paths of the certificate and its key."""
        (self.folder / "extensions").write_text(f"{names}\n{LEAF}")
        request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
        openssl(self.folder, *request, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = [
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
        ]
        openssl(
            self.folder,
            *signed,
            *("-days", str(days), "-extfile", "extensions", "-out", f"{name}.pem"),
        )
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


class TlsServer:
    """Accept TLS connections on loopback, as libvirt's daemon does, and close them."""

    def __init__(self, certificate: tuple[Path, Path], client_ca: Path | None = None) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        if client_ca is not None:
            self._context.load_verify_locations(client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.settimeout(30)
            with suppress(OSError), self._context.wrap_socket(accepted, server_side=True) as peer:
                peer.recv(1)
            accepted.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., TlsServer]]:
    servers: list[TlsServer] = []

    def start(*arguments: object) -> TlsServer:
        servers.append(TlsServer(*arguments))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", "ca")


@pytest.fixture
def pki(tmp_path: Path, authority: Authority) -> Path:
    """The PKI directory of the client, with the CA certificate only."""
    folder = tmp_path / "pki"
    folder.mkdir()
    (folder / "cacert.pem").write_bytes((authority.folder / "ca.pem").read_bytes())
    return folder


def only_hint(uri: str, **variables: str) -> str:
    """Run a `check` that fails and return its only hint; stderr holds log lines only."""
    result = run("check", "--libvirt.uri", f"x={uri}", **variables)
    assert result.returncode == 1, result
    assert [line for line in result.stderr.splitlines() if not line.startswith("ts=")] == []
    (hint,) = [line.strip() for line in result.stdout.splitlines() if line.startswith("  hint: ")]
    return hint


def tls(server: TlsServer, pki: Path) -> str:
    return f"qemu+tls://localhost:{server.port}/system?pkipath={pki}"


def test_missing_ca_certificate_is_explained(tmp_path: Path) -> None:
    hint = only_hint(f"qemu+tls://localhost:1/system?pkipath={tmp_path}")
    assert (
        f"CA certificate is missing; copy the one that signed the server's certificate to {tmp_path}" in hint
    )


def test_client_certificate_of_another_ca_is_explained(pki: Path, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "other")
    for source, name in zip(other.issue("client"), ("clientcert.pem", "clientkey.pem"), strict=True):
        (pki / name).write_bytes(source.read_bytes())
    hint = only_hint(f"qemu+tls://localhost:1/system?pkipath={pki}")
    assert f"{pki}/cacert.pem did not sign the client certificate {pki}/clientcert.pem" in hint


def test_server_certificate_of_unknown_ca_is_explained(
    serve: Callable[..., TlsServer], pki: Path, tmp_path: Path
) -> None:
    server = serve(Authority(tmp_path / "other", "other").issue("server"))
    assert "local CA certificate did not sign the server's certificate" in only_hint(tls(server, pki))


def test_server_certificate_for_another_host_is_explained(
    serve: Callable[..., TlsServer], authority: Authority, pki: Path
) -> None:
    server = serve(authority.issue("server", "subjectAltName=DNS:elsewhere.example"))
    assert "certificate is for another name than localhost" in only_hint(tls(server, pki))


def test_expired_server_certificate_is_explained(
    serve: Callable[..., TlsServer], authority: Authority, pki: Path
) -> None:
    server = serve(authority.issue("server", days=-1))
    assert "has expired or is not valid yet" in only_hint(tls(server, pki))


def test_each_server_gets_its_own_hint(
    serve: Callable[..., TlsServer], authority: Authority, pki: Path
) -> None:
    """Both warnings have the same place in libvirt's source, so only the first one is logged."""
    other = serve(authority.issue("other", "subjectAltName=DNS:elsewhere.example"))
    expired = serve(authority.issue("expired", days=-1))
    result = run("check", "--libvirt.uri", f"a={tls(other, pki)}", "--libvirt.uri", f"b={tls(expired, pki)}")
    first, second = [line for line in result.stdout.splitlines() if "hint: " in line]
    assert "another name" in first
    assert "has expired" in second


def test_hint_is_generic_when_the_user_redirects_the_log(
    serve: Callable[..., TlsServer], authority: Authority, pki: Path, tmp_path: Path
) -> None:
    server = serve(authority.issue("server", days=-1))
    hint = only_hint(tls(server, pki), LIBVIRT_LOG_OUTPUTS=f"3:file:{tmp_path}/log")
    assert "check that cacert.pem signed it, that it has not expired, and that it names the host" in hint


def test_server_that_rejects_the_client_is_explained(
    serve: Callable[..., TlsServer], authority: Authority, pki: Path
) -> None:
    server = serve(authority.issue("server"), authority.folder / "ca.pem")
    assert "usually because the client certificate is missing" in only_hint(tls(server, pki))


@pytest.mark.parametrize("transport", ["tcp", "tls", "libssh", "libssh2"])
def test_refused_port_is_explained(transport: str, pki: Path) -> None:
    hint = only_hint(f"qemu+{transport}://localhost:1/system?pkipath={pki}")
    assert "nothing accepts connections at localhost:1" in hint


def test_unknown_host_is_explained() -> None:
    assert "the host name nowhere.invalid cannot be resolved" in only_hint(
        "qemu+tcp://nowhere.invalid/system"
    )


def test_unknown_transport_is_explained() -> None:
    assert "libvirt does not support the transport" in only_hint("qemu+foo://localhost/system")


@pytest.mark.parametrize(
    ("ssh_output", "part"),
    [
        (WRONG_KEY, "accepts none of this user's ssh keys"),
        (
            f"Warning: Identity file /k not accessible: No such file or directory.\n{WRONG_KEY}",
            "the key file /k of the URI (keyfile=) does not exist",
        ),
        (
            "ssh: connect to host h1 port 23: Connection refused",
            "no ssh server accepts connections on h1, port 23",
        ),
        (
            "ssh: Could not resolve hostname h1: Name or service not known",
            "the host name h1 cannot be resolved",
        ),
        ("Host key verification failed.", "not known to this user"),
        ("sh: 1: nc: not found", "neither virt-ssh-helper nor nc"),
    ],
)
def test_ssh_error_is_explained(ssh_output: str, part: str, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(ssh_output)} >&2\nexit 255\n")
    ssh.chmod(0o755)
    assert part in only_hint(f"qemu+ssh://u@h1/system?command={ssh}")


def test_missing_ssh_program_is_explained(tmp_path: Path) -> None:
    hint = only_hint(f"qemu+ssh://u@h1/system?command={tmp_path}/none")
    assert f"{tmp_path}/none does not exist on the exporter's host" in hint


def test_silent_ssh_has_no_hint() -> None:
    result = run("check", "--libvirt.uri", "x=qemu+ssh://u@h1/system?command=/bin/false")
    assert result.returncode == 1
    assert "hint: " not in result.stdout
