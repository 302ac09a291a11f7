"""TLS by the file: who gets in, by what, and what is refused at the start."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.web import tls_names
from libvirt_lifecycle_exporter.web.access import rules
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.tls import is_allowed
from tests.otel.certificates import sign
from tests.web.serving import TLS, serving

MUTUAL = f"{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert"


def test_without_a_file_there_is_no_tls(folder: Path) -> None:
    with serving(folder, None) as served:
        assert served.ask()[0] == 200
        with pytest.raises(OSError, match=r"SSL|reset|closed"):
            served.ask(served.client())


def test_with_a_certificate_there_is_nothing_but_tls(folder: Path) -> None:
    with serving(folder, TLS + "}") as served:
        assert served.ask(served.client())[0] == 200
        with pytest.raises(OSError, match=r".+"):
            served.ask()
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            served.ask(served.client(authority="stranger"))
        assert served.entrance.refused["tls"] >= 1


@pytest.mark.parametrize(
    ("kind", "nobody", "stranger"),
    [
        ("NoClientCert", True, True),
        ("RequestClientCert", True, True),
        ("VerifyClientCertIfGiven", True, False),
        ("RequireAndVerifyClientCert", False, False),
    ],
)
def test_client_certificates(folder: Path, kind: str, nobody: bool, stranger: bool) -> None:  # noqa: FBT001 - a table
    authority = ", client_ca_file: ca.pem" if tls_names.CLIENT_AUTH[kind] else ""
    with serving(folder, f"{TLS}, client_auth_type: {kind}{authority}}}") as served:

        def comes_in(certificate: str) -> bool:
            try:
                return served.ask(served.client(certificate))[0] == 200
            except OSError:
                return False

        assert (comes_in("client"), comes_in(""), comes_in("stranger")) == (True, nobody, stranger)


@pytest.mark.parametrize(
    ("names", "comes_in"), [("127.0.0.1", True), ("a.example, 127.0.0.1", True), ("b.example", False)]
)
def test_client_certificates_of_these_names_only(folder: Path, names: str, comes_in: bool) -> None:  # noqa: FBT001 - a table
    with serving(folder, f"{MUTUAL}, client_allowed_sans: [{names}]}}") as served:
        try:
            assert served.ask(served.client("client"))[0] == 200
        except OSError:
            assert not comes_in
        assert served.entrance.refused["client_certificate"] == (0 if comes_in else 1)


def test_an_authority_that_is_named_need_not_be_a_root(folder: Path) -> None:
    """As in Go. Whom only its root has signed stays out."""
    sign(folder, "department", extension="basicConstraints=critical,CA:TRUE")
    sign(folder, "scraper", by="department")
    with serving(folder, MUTUAL.replace("ca.pem", "department.pem") + "}") as served:
        assert served.ask(served.client("scraper"))[0] == 200
        with pytest.raises(OSError, match=r"(?i)UNKNOWN_CA"):
            served.ask(served.client("client"))


def test_who_could_speak_http_2_is_told_to_speak_1(folder: Path) -> None:
    with serving(folder, f"{TLS}}}\nhttp_server_config: {{http2: true}}") as served:
        client = served.client()
        client.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", served.port), 20) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            assert wrapped.selected_alpn_protocol() == "http/1.1"


def test_who_is_turned_away_is_told_why(folder: Path) -> None:
    with serving(folder, MUTUAL + "}") as served:
        for certificate, why in (("", "CERTIFICATE_REQUIRED"), ("stranger", "UNKNOWN_CA")):
            with pytest.raises(OSError, match=f"(?i){why}"):
                served.ask(served.client(certificate))


def test_names_are_spelled_as_go_spells_them(folder: Path) -> None:
    (folder / "web.yml").write_text(
        f'{MUTUAL}, client_allowed_sans: ["2001:db8::1", "spiffe://a/b", "x@y.example"]}}'
    )
    tls = rules(folder / "web.yml").config.tls
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
    version, comes_in = limits
    with serving(folder, f"{TLS}, {settings}}}") as served:
        client = served.client()
        client.maximum_version = version
        try:
            assert served.ask(client)[0] == 200
        except OSError:
            assert not comes_in
        else:
            assert comes_in


def test_the_server_says_which_cipher_suite(folder: Path) -> None:
    both = ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    for prefer, expected in (
        ("true", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("false", "ECDHE-RSA-AES128-GCM-SHA256"),
    ):
        text = f"{TLS}, cipher_suites: {both}, max_version: TLS12, prefer_server_cipher_suites: {prefer}}}"
        with serving(folder, text) as served:
            client = served.client()
            client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
            assert served.negotiated_cipher(client) == expected


@pytest.mark.parametrize("name", tls_names.CURVES)
def test_one_curve_can_be_had_where_python_has_it(folder: Path, name: str) -> None:
    """Debian 12's does not take X25519 by name."""
    (folder / "web.yml").write_text(f"{TLS}, curve_preferences: [{name}]}}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(tls_names.CURVES[name])
    except ssl.SSLError:
        assert name == "X25519"
        with pytest.raises(WebConfigError, match="curve_preferences cannot be had"):
            rules(folder / "web.yml")
    else:
        assert rules(folder / "web.yml").context


def test_every_cipher_suite_of_the_table_is_openssls_too(folder: Path) -> None:
    for name in tls_names.CIPHERS:
        (folder / "web.yml").write_text(f"{TLS}, cipher_suites: [{name}]}}")
        context = rules(folder / "web.yml").context
        assert context is not None
        offered = [one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"]
        assert offered == [tls_names.CIPHERS[name]]


def test_certificate_and_key_in_the_file_itself(folder: Path) -> None:
    def inline(name: str, file: str) -> str:
        return f"  {name}: |\n" + "".join(
            f"    {line}\n" for line in (folder / file).read_text().splitlines()
        )

    text = "tls_server_config:\n" + inline("cert", "server.pem") + inline("key", "server.key")
    text += inline("client_ca", "ca.pem") + "  client_auth_type: RequireAndVerifyClientCert\n"
    with serving(folder, text) as served:
        assert served.ask(served.client("client"))[0] == 200
        with pytest.raises(OSError, match=r".+"):
            served.ask(served.client())


MANY_CURVES = "" if hasattr(ssl.SSLContext, "set_groups") else "some of the curves need Python 3.15"


def spoiled(folder: Path) -> dict[str, str]:
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
        TLS.replace("server.key", "locked.key") + "}": "the key without password",
        TLS.replace("server.pem", "junk.pem") + "}": "they must be PEM",
        MUTUAL.replace("ca.pem", "junk.pem") + "}": "no certificates in the client CAs",
        MUTUAL.replace("ca.pem", "none.pem") + "}": "client_ca_file",
        TLS + ", curve_preferences: [X25519, CurveP256]}": ""
        if hasattr(ssl.SSLContext, "set_groups")
        else "3.15",
    }


def test_what_cannot_be_used_is_refused_in_one_sentence(folder: Path) -> None:
    file = folder / "web.yml"
    for text, words in spoiled(folder).items():
        file.write_text(text)
        if not words:
            assert rules(file).context
            continue
        with pytest.raises(WebConfigError) as refused:
            rules(file)
        assert str(refused.value).startswith(f"--web.config.file {file}: ")
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    shutil.rmtree(folder)
    with pytest.raises(WebConfigError, match="no such file"):
        rules(file)


def test_a_file_that_is_no_text(folder: Path) -> None:
    (folder / "web.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WebConfigError, match="no UTF-8"):
        rules(folder / "web.yml")
