"""TLS: which clients are accepted with which settings, and which settings are refused at the start."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.web import tls_names
from libvirt_lifecycle_exporter.web.access import load
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.tls import is_allowed
from tests.otel.certificates import sign
from tests.web.running_server import TLS, running_server

MUTUAL = f"{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert"


def test_without_configuration_there_is_no_tls(folder: Path) -> None:
    with running_server(folder, None) as server:
        assert server.get()[0] == 200
        with pytest.raises(OSError, match=r"SSL|reset|closed"):
            server.get(server.client_context())


def test_server_with_certificate_serves_only_tls(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server:
        assert server.get(server.client_context())[0] == 200
        with pytest.raises(OSError, match=r".+"):
            server.get()
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            server.get(server.client_context(authority="stranger"))
        assert server.access.refused["tls"] >= 1


@pytest.mark.parametrize(
    ("client_auth_type", "accepts_none", "accepts_stranger"),
    [
        ("NoClientCert", True, True),
        ("RequestClientCert", True, True),
        ("VerifyClientCertIfGiven", True, False),
        ("RequireAndVerifyClientCert", False, False),
    ],
)
def test_client_auth_types(
    folder: Path,
    client_auth_type: str,
    accepts_none: bool,  # noqa: FBT001 - a table
    accepts_stranger: bool,  # noqa: FBT001 - a table
) -> None:
    authority = ", client_ca_file: ca.pem" if tls_names.CLIENT_AUTH[client_auth_type] else ""
    with running_server(folder, f"{TLS}, client_auth_type: {client_auth_type}{authority}}}") as server:

        def is_accepted(certificate: str) -> bool:
            try:
                return server.get(server.client_context(certificate))[0] == 200
            except OSError:
                return False

        accepted = (is_accepted("client"), is_accepted(""), is_accepted("stranger"))
        assert accepted == (True, accepts_none, accepts_stranger)


@pytest.mark.parametrize(
    ("names", "is_accepted"), [("127.0.0.1", True), ("a.example, 127.0.0.1", True), ("b.example", False)]
)
def test_only_allowed_sans_are_accepted(folder: Path, names: str, is_accepted: bool) -> None:  # noqa: FBT001 - a table
    with running_server(folder, f"{MUTUAL}, client_allowed_sans: [{names}]}}") as server:
        try:
            assert server.get(server.client_context("client"))[0] == 200
        except OSError:
            assert not is_accepted
        assert server.access.refused["client_certificate"] == (0 if is_accepted else 1)


def test_client_ca_need_not_be_a_root(folder: Path) -> None:
    """As in Go. A client that only the root has signed is refused."""
    sign(folder, "department", extension="basicConstraints=critical,CA:TRUE")
    sign(folder, "scraper", by="department")
    with running_server(folder, MUTUAL.replace("ca.pem", "department.pem") + "}") as server:
        assert server.get(server.client_context("scraper"))[0] == 200
        with pytest.raises(OSError, match=r"(?i)UNKNOWN_CA"):
            server.get(server.client_context("client"))


def test_client_with_http2_negotiates_http1(folder: Path) -> None:
    with running_server(folder, f"{TLS}}}\nhttp_server_config: {{http2: true}}") as server:
        client = server.client_context()
        client.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", server.port), 20) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            assert wrapped.selected_alpn_protocol() == "http/1.1"


def test_refused_client_gets_a_tls_alert(folder: Path) -> None:
    with running_server(folder, MUTUAL + "}") as server:
        for certificate, alert in (("", "CERTIFICATE_REQUIRED"), ("stranger", "UNKNOWN_CA")):
            with pytest.raises(OSError, match=f"(?i){alert}"):
                server.get(server.client_context(certificate))


def test_sans_are_compared_in_the_format_of_go(folder: Path) -> None:
    (folder / "web.yml").write_text(
        f'{MUTUAL}, client_allowed_sans: ["2001:db8::1", "spiffe://a/b", "x@y.example"]}}'
    )
    tls = load(folder / "web.yml").config.tls
    assert tls is not None
    for name in [("IP Address", "2001:DB8:0:0:0:0:0:1"), ("URI", "spiffe://a/b"), ("email", "x@y.example")]:
        assert is_allowed(tls, {"subjectAltName": (("DNS", "other"), name)})
    for name in [
        ("IP Address", "2001:DB8:0:0:0:0:0:2"),
        ("IP Address", "<invalid>"),
        ("DirName", "x@y.example"),
    ]:
        assert not is_allowed(tls, {"subjectAltName": (name,)})
    assert not is_allowed(tls, None)


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ("min_version: TLS13", (ssl.TLSVersion.TLSv1_2, False)),
        ("max_version: TLS12", (ssl.TLSVersion.TLSv1_2, True)),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", (ssl.TLSVersion.TLSv1_2, False)),
        ("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]", (ssl.TLSVersion.TLSv1_2, True)),
        ("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]", (ssl.TLSVersion.TLSv1_2, False)),
    ],
)
def test_versions_and_cipher_suites(folder: Path, settings: str, limits: tuple[ssl.TLSVersion, bool]) -> None:
    version, is_accepted = limits
    with running_server(folder, f"{TLS}, {settings}}}") as server:
        client = server.client_context()
        client.maximum_version = version
        try:
            assert server.get(client)[0] == 200
        except OSError:
            assert not is_accepted
        else:
            assert is_accepted


def test_server_preference_selects_the_cipher_suite(folder: Path) -> None:
    both = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    for prefer, expected in (
        ("true", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("false", "ECDHE-RSA-AES128-GCM-SHA256"),
    ):
        text = f"{TLS}, cipher_suites: {both}, max_version: TLS12, prefer_server_cipher_suites: {prefer}}}"
        with running_server(folder, text) as server:
            client = server.client_context()
            client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
            assert server.negotiated_cipher(client) == expected


@pytest.mark.parametrize("name", tls_names.CURVES)
def test_single_curve_is_supported_if_python_supports_it(folder: Path, name: str) -> None:
    """Debian 12's Python does not accept X25519 by name."""
    (folder / "web.yml").write_text(f"{TLS}, curve_preferences: [{name}]}}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(tls_names.CURVES[name])
    except ssl.SSLError:
        assert name == "X25519"
        with pytest.raises(WebConfigError, match="OpenSSL does not support these curve_preferences"):
            load(folder / "web.yml")
    else:
        assert load(folder / "web.yml").tls_context


def test_openssl_knows_every_cipher_suite_of_the_table(folder: Path) -> None:
    for name in tls_names.CIPHERS:
        (folder / "web.yml").write_text(f"{TLS}, cipher_suites: [{name}]}}")
        context = load(folder / "web.yml").tls_context
        assert context is not None
        offered = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
        assert offered == [tls_names.CIPHERS[name]]


def test_certificate_and_key_may_be_inline(folder: Path) -> None:
    def inline(name: str, file: str) -> str:
        return f"  {name}: |\n" + "".join(
            f"    {line}\n" for line in (folder / file).read_text().splitlines()
        )

    text = "tls_server_config:\n" + inline("cert", "server.pem") + inline("key", "server.key")
    text += inline("client_ca", "ca.pem") + "  client_auth_type: RequireAndVerifyClientCert\n"
    with running_server(folder, text) as server:
        assert server.get(server.client_context("client"))[0] == 200
        with pytest.raises(OSError, match=r".+"):
            server.get(server.client_context())


def unusable_files(folder: Path) -> dict[str, str]:
    """Return configurations and what the error must contain; empty: there is no error."""
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", "server.key", "-out", "locked.key"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    (folder / "junk.pem").write_text("junk")
    (folder / "a-folder").mkdir()
    return {
        TLS.replace("server.pem", "none.pem") + "}": "none.pem): no such file or directory",
        TLS.replace("server.key", "a-folder") + "}": "a-folder): is a directory",
        TLS.replace("server.key", "client.key") + "}": "the key does not belong to the certificate",
        TLS.replace("server.key", "locked.key") + "}": "the key without a password",
        TLS.replace("server.pem", "junk.pem") + "}": "both must be PEM",
        MUTUAL.replace("ca.pem", "junk.pem") + "}": "client_ca_file contains no certificates",
        MUTUAL.replace("ca.pem", "none.pem") + "}": "client_ca_file",
        TLS + ", curve_preferences: [X25519, CurveP256]}": ""
        if hasattr(ssl.SSLContext, "set_groups")
        else "3.15",
    }


def test_unusable_files_are_refused_with_one_sentence(folder: Path) -> None:
    file = folder / "web.yml"
    for text, words in unusable_files(folder).items():
        file.write_text(text)
        if not words:
            assert load(file).tls_context
            continue
        with pytest.raises(WebConfigError) as refused:
            load(file)
        assert str(refused.value).startswith(f"--web.config.file {file}: ")
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    shutil.rmtree(folder)
    with pytest.raises(WebConfigError, match="no such file"):
        load(file)


def test_file_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / "web.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WebConfigError, match="not valid UTF-8"):
        load(folder / "web.yml")
