"""The cases of exporter-toolkit's own tests (web/testdata, web/tls_config_test.go), one row for each file.

The inputs and certificates were written for this test. The outcomes are the toolkit's, except in the rows
with a comment about a difference, which docs/web-config.md explains.
https://github.com/prometheus/exporter-toolkit/tree/master/web
"""

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest

from libvirt_lifecycle_exporter.web import tls_names
from libvirt_lifecycle_exporter.web.access import load
from libvirt_lifecycle_exporter.web.config_values import WebConfigError
from libvirt_lifecycle_exporter.web.credentials import dummy_hash
from tests.otel.certificates import sign
from tests.web.running_server import TLS, RunningServer, basic_auth, bcrypt_hash, running_server

VERIFY_IF_GIVEN = f"{TLS}, client_auth_type: VerifyClientCertIfGiven"
MUTUAL = f"{TLS}, client_auth_type: RequireAndVerifyClientCert"
SELF_SIGNED = f"{MUTUAL}, client_ca_file: stranger.pem"
ANY_CLIENT_CERT = "client_auth_type: RequireAnyClientCert"


def inline(folder: Path, **files: str) -> str:
    """Return YAML keys whose values are the contents of files."""
    return "".join(
        f"  {key}: |\n" + "".join(f"    {line}\n" for line in (folder / file).read_text().splitlines())
        for key, file in files.items()
    )


class Refused(NamedTuple):
    """The file is refused with an error that contains this text."""

    words: str


class Plain(NamedTuple):
    """The server runs without TLS; the statuses of successive requests."""

    statuses: tuple[int, ...] = (200,)
    user: str = ""


class Encrypted(NamedTuple):
    """The server runs with TLS; the status for this client, None: the handshake fails."""

    status: int | None = 200
    certificate: str = ""
    user: str = ""
    ciphers: str = ""
    curve: str = ""
    cipher: str = ""


Outcome = Refused | Plain | Encrypted
JUNK = "\n".join(f"{number}hWkNKCp3" for number in range(20))
USERS = (
    f"basic_auth_users: {{alice: {bcrypt_hash('a')}, bob: {dummy_hash(18)}, "
    f"carol: {bcrypt_hash('carol123')}, dave: {bcrypt_hash('dave123')}}}\n"
)
HEADERS = "http_server_config: {{headers: {{{}}}}}"
RATE_LIMIT = "rate_limit: {{interval: {}, burst: 0}}"
TWO_CIPHERS = "[TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]"
SWAPPED_CIPHERS = "[TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"
ONE_CIPHER = "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], max_version: TLS12"
ALL_CIPHERS = ", ".join([*tls_names.CIPHERS, *tls_names.TLS13_CIPHERS])
ALL_CURVES = "CurveP256, CurveP384, CurveP521, X25519"
BOTH_CIPHERS = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"
CLIENT_ORDER = "prefer_server_cipher_suites: false"
LIMITED = "min_version: TLS12, max_version: TLS12"

TABLE: dict[str, tuple[str, tuple[Outcome, ...]]] = {
    "tls_config_noAuth.requireandverifyclientcert.good": (
        SELF_SIGNED + "}",
        (Encrypted(certificate="stranger"), Encrypted(None)),
    ),
    # A difference: Python's ssl cannot require a certificate without verifying it.
    "tls_config_noAuth.requireanyclientcert.good": (
        f"{TLS}, {ANY_CLIENT_CERT}}}",
        (Refused("RequireAnyClientCert"),),
    ),
    "tls_config_noAuth.requireanyclientcertkeyinline.good": (
        f"tls_server_config: {{cert_file: server.pem, key: K, {ANY_CLIENT_CERT}}}",
        (Refused("RequireAnyClientCert"),),
    ),
    "auth_clientCAs_invalid.bad": (f"{TLS}, client_ca_file: somefile}}", (Refused("client_ca"),)),
    "auth_clientCAs_missing.bad": (MUTUAL + "}", (Encrypted(None), Encrypted(None, "client"))),
    "auth_client_san.bad": (
        f"{SELF_SIGNED.replace('stranger', 'ca')}, client_allowed_sans: [bad]}}",
        (Encrypted(None, "named"),),
    ),
    "auth_client_san.good": (
        f"{SELF_SIGNED.replace('stranger', 'ca')}, client_allowed_sans: [one, test3, two]}}",
        (Encrypted(certificate="named"),),
    ),
    "auth_user_list_invalid.bad": (f"{TLS}}}\nbasic_auth_users: {{john: doe}}", (Refused("bcrypt"),)),
    "empty": ("", (Plain(),)),
    "headers.good": (
        HEADERS.format(
            "X-Frame-Options: deny, Strict-Transport-Security: max-age=1; includeSubDomains, "
            "X-Content-Type-Options: nosniff, X-XSS-Protection: 1, "
            "Content-Security-Policy: \"default-src 'self'\""
        ),
        (Plain(),),
    ),
    "headers_content_type_options.bad": (
        HEADERS.format("X-Content-Type-Options: sniff"),
        (Refused("must be nosniff"),),
    ),
    "headers_extra_header.bad": (HEADERS.format("Content-Type: foo"), (Refused("Content-Type"),)),
    "headers_frame_options.bad": (HEADERS.format("X-Frame-Options: foo"), (Refused("must be deny"),)),
    "junk": (JUNK, (Refused("must be a mapping"),)),
    "junk_key": ("tls_server_config: {cert_filse: server.pem}", (Refused("unknown key"),)),
    "noAuth.bad": (f"{TLS}, client_ca_file: /dev/null}}", (Refused("client_ca"),)),
    "noAuth.good.blocking": (MUTUAL + "}", (Encrypted(None),)),
    "noAuth.good": (VERIFY_IF_GIVEN + "}", (Encrypted(),)),
    "noAuth_allCiphers.good": (f"{VERIFY_IF_GIVEN}, cipher_suites: [{ALL_CIPHERS}]}}", (Encrypted(),)),
    "noAuth_allCurves.good": (
        f"{VERIFY_IF_GIVEN}, curve_preferences: [{ALL_CURVES}]}}",
        tuple(Encrypted(curve=curve) for curve in ("prime256v1", "secp384r1", "secp521r1")),
    ),
    "noAuth_certPath_empty.bad": (
        'tls_server_config: {cert_file: "", key_file: server.key}',
        (Refused("cert_file is missing"),),
    ),
    "noAuth_certPath_invalid.bad": (
        TLS.replace("server.pem", "somefile") + "}",
        (Refused("somefile): no such file"),),
    ),
    "noAuth_certPath_keyPath_empty.bad": (
        'tls_server_config: {cert_file: "", key_file: "", client_auth_type: x}',
        (Refused('unknown value "x"'),),
    ),
    "noAuth_certPath_keyPath_invalid.bad": (
        "tls_server_config: {cert_file: somefile, key_file: somefile}",
        (Refused("somefile): no such file"),),
    ),
    "noAuth_cert_empty.bad": (
        'tls_server_config: {cert: "", key_file: server.key}',
        (Refused("cert_file is missing"),),
    ),
    "noAuth_inventedCiphers.bad": (
        f"{VERIFY_IF_GIVEN}, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]}}",
        (Refused("unknown cipher suite"),),
    ),
    "noAuth_inventedCurves.bad": (
        f"{VERIFY_IF_GIVEN}, curve_preferences: [CurveP257]}}",
        (Refused("unknown curve"),),
    ),
    "noAuth_keyPath_empty.bad": (
        'tls_server_config: {cert_file: server.pem, key_file: ""}',
        (Refused("key_file is missing"),),
    ),
    "noAuth_keyPath_invalid.bad": (
        "tls_server_config: {cert_file: server.cert, key_file: somefile}",
        (Refused("no such file"),),
    ),
    "noAuth_key_empty.bad": (
        'tls_server_config: {cert_file: server.pem, key: ""}',
        (Refused("key_file is missing"),),
    ),
    "noAuth_noHTTP2.good": (
        f"{VERIFY_IF_GIVEN}, {ONE_CIPHER}}}\nhttp_server_config: {{http2: false}}",
        (Encrypted(),),
    ),
    # A difference: the toolkit refuses it, since HTTP/2 needs another cipher suite. Here, there is no HTTP/2.
    "noAuth_noHTTP2Cipher.bad": (f"{VERIFY_IF_GIVEN}, {ONE_CIPHER}}}", (Encrypted(),)),
    "noAuth_someCiphers.good": (
        f"{VERIFY_IF_GIVEN}, cipher_suites: {TWO_CIPHERS}, {LIMITED}}}",
        (
            Encrypted(ciphers="ECDHE-RSA-AES128-GCM-SHA256"),
            Encrypted(None, ciphers="ECDHE-RSA-AES256-SHA"),
            Encrypted(ciphers=BOTH_CIPHERS, cipher="ECDHE-RSA-AES128-GCM-SHA256"),
        ),
    ),
    "noAuth_someCiphers_noOrder.good": (
        f"{VERIFY_IF_GIVEN}, cipher_suites: {SWAPPED_CIPHERS}, {CLIENT_ORDER}, {LIMITED}}}",
        (Encrypted(ciphers=BOTH_CIPHERS, cipher="ECDHE-RSA-AES128-GCM-SHA256"),),
    ),
    "noAuth_someCurves.good": (
        f"{VERIFY_IF_GIVEN}, min_version: TLS13, curve_preferences: [CurveP521]}}",
        (Encrypted(curve="secp521r1"), Encrypted(None, curve="secp384r1")),
    ),
    "noAuth_tlsInline.good": (
        "tls_server_config:\n{inline}  client_auth_type: VerifyClientCertIfGiven\n",
        (Encrypted(),),
    ),
    "noAuth_wrongTLSVersion.bad": (
        f"{VERIFY_IF_GIVEN}, min_version: TLS111}}",
        (Refused("unknown TLS version"),),
    ),
    "rate_limiter_nonblocking": (RATE_LIMIT.format(0), (Plain((200,) * 10),)),
    "rate_limiter_one_second": (RATE_LIMIT.format("1s"), (Plain((429,) * 10),)),
    "users.good": (
        f"{TLS}}}\n{USERS}",
        (
            Encrypted(401),
            Encrypted(user="dave:dave123"),
            Encrypted(user="carol:carol123"),
            Encrypted(401, user="dave:bad"),
        ),
    ),
    "users_noTLS.good": (USERS, (Plain((401,)), Plain(user="dave:dave123"))),
}


def handshake_and_status(server: RunningServer, expected: Encrypted) -> int | None:
    """Return the status for this client; None: the connection fails."""
    client = server.client_context(expected.certificate)
    if expected.ciphers:
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(expected.ciphers)
    if expected.curve:
        client.set_ecdh_curve(expected.curve)
    headers = basic_auth(*expected.user.split(":")) if expected.user else {}
    try:
        status = server.get(client, headers=headers)[0]
    except OSError:
        return None
    if expected.cipher:
        assert server.negotiated_cipher(client) == expected.cipher
    return status


@pytest.mark.parametrize("name", TABLE)
def test_configuration_has_the_effect_that_the_toolkit_has(folder: Path, name: str) -> None:
    text, outcomes = TABLE[name]
    sign(folder, "named", extension="subjectAltName=DNS:test1,DNS:test2,DNS:test3")
    text = text.replace("{inline}", inline(folder, cert="server.pem", key="server.key"))
    first = outcomes[0]
    if isinstance(first, Refused):
        (folder / "web.yml").write_text(text)
        with pytest.raises(WebConfigError) as refused:
            load(folder / "web.yml")
        assert first.words in str(refused.value)
        return
    with running_server(folder, text) as server:
        for outcome in outcomes:
            if isinstance(outcome, Encrypted):
                assert handshake_and_status(server, outcome) == outcome.status
            elif isinstance(outcome, Plain):
                headers = basic_auth(*outcome.user.split(":")) if outcome.user else {}
                statuses = [server.get(headers=headers)[0] for _ in outcome.statuses]
                assert tuple(statuses) == outcome.statuses


def test_incompatible_clients_get_no_response(folder: Path) -> None:
    """TLS to a plain server, HTTP to a TLS server, and TLS 1.1."""
    with running_server(folder, None) as server, pytest.raises(OSError, match=r".+"):
        server.get(server.client_context())
    with running_server(folder, VERIFY_IF_GIVEN + "}") as server:
        with pytest.raises(OSError, match=r".+"):
            server.get()
        context = load(folder / "web.yml").tls_context
        assert context
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
