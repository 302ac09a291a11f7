"""The exporter-toolkit's file, key by key: read, or refused in one sentence."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.web.config import RateLimit, Tls, WebConfig, parse
from libvirt_lifecycle_exporter.web.config_values import WebConfigError

HERE = Path("/etc/exporter")
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
ONLY_12 = "max_version: TLS12"
CERTIFICATE = "cert_file: c.pem, key_file: /keys/k.pem"

EVERYTHING = f"""
tls_server_config:
  cert_file: c.pem
  key_file: /keys/k.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans:
    - prometheus.example
    - 192.0.2.1
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: false
  curve_preferences:
    - CurveP256
http_server_config:
  http2: true
  headers:
    Content-Security-Policy: default-src 'none'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: "0"
    Strict-Transport-Security: max-age=60
basic_auth_users:
  alice: {HASH}
  123: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"""


def test_everything_that_the_format_knows() -> None:
    assert parse(EVERYTHING, HERE) == WebConfig(
        tls=Tls(
            cert_file=HERE / "c.pem",
            key_file=Path("/keys/k.pem"),
            client_ca_file=HERE / "ca.pem",
            client_auth_type="RequireAndVerifyClientCert",
            client_allowed_sans=("prometheus.example", "192.0.2.1"),
            cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
            prefer_server_cipher_suites=False,
            curve_preferences=("CurveP256",),
        ),
        http2=True,
        headers=(
            ("Content-Security-Policy", "default-src 'none'"),
            ("X-Frame-Options", "deny"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-XSS-Protection", "0"),
            ("Strict-Transport-Security", "max-age=60"),
        ),
        users={"alice": HASH, "123": HASH},
        rate_limit=RateLimit(1, 20),
    )


@pytest.mark.parametrize("text", ["", "# none\n", "---\n", "tls_server_config:\nbasic_auth_users: {}\n", "~"])
def test_an_empty_file_asks_for_nothing(text: str) -> None:
    assert parse(text, HERE) == WebConfig()


def test_certificates_may_stand_in_the_file_itself() -> None:
    tls = parse("tls_server_config: {cert: C, key: K}", HERE).tls
    assert tls == Tls(cert="C", key="K")
    assert "K" not in repr(tls).replace("Key", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("surprise: 1", 'it has the unknown key "surprise"'),
        ("tls_server_config: {surprise: 1}", 'tls_server_config has the unknown key "surprise"'),
        ("http_server_config: {http3: true}", 'http_server_config has the unknown key "http3"'),
        ("http_server_config: {headers: {Server: x}}", 'headers has the unknown key "Server"'),
        ("rate_limit: {rate: 1}", 'rate_limit has the unknown key "rate"'),
        ("- a", "it must hold keys and values"),
        ("just words", "it must hold keys and values"),
        ("tls_server_config: [1]", "tls_server_config must hold keys and values"),
        ("a: 1\na: 2", 'line 2, column 1: the key "a" is there twice'),
        (f"basic_auth_users: {{a: {HASH}, a: {HASH}}}", 'the key "a" is there twice'),
        ("? [1, 2]\n: 3", "a key is no word"),
        ("a: [", "it is no valid YAML in line 1"),
        ("a: \x00", "it is no valid YAML"),
        ("[" * 5000, "it is no valid YAML"),
        ("a: 1\n---\nb: 2", "it is no valid YAML"),
        ("a: *b", "it is no valid YAML"),
        ("tls_server_config: {cert_file: c}", "key_file is missing"),
        ("tls_server_config: {key_file: k}", "cert_file is missing"),
        ("tls_server_config: {min_version: TLS13}", "cert_file is missing"),
        ("tls_server_config: {cert_file: c, cert: C, key_file: k}", "cert and cert_file are both there"),
        ("tls_server_config: {cert_file: [c], key_file: k}", "cert_file must be one word"),
        (f"tls_server_config: {{{CERTIFICATE}, min_version: TLS11}}", "TLS11 is not served"),
        (f"tls_server_config: {{{CERTIFICATE}, max_version: TLS14}}", 'there is no TLS version "TLS14"'),
        (
            f"tls_server_config: {{{CERTIFICATE}, min_version: TLS13, max_version: TLS12}}",
            "min_version is newer than max_version",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, cipher_suites: [X]}}", 'there is no cipher suite "X"'),
        (f"tls_server_config: {{{CERTIFICATE}, cipher_suites: []}}", "cipher_suites must be a list"),
        (
            f"tls_server_config: {{{CERTIFICATE}, {ONLY_12}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
            "none of the cipher_suites is one of TLS 1.2",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, curve_preferences: [P1]}}", 'there is no curve "P1"'),
        (f"tls_server_config: {{{CERTIFICATE}, prefer_server_cipher_suites: 7}}", "must be true or false"),
        (f"tls_server_config: {{{CERTIFICATE}, client_auth_type: Maybe}}", 'there is no "Maybe"'),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_auth_type: RequireAnyClientCert}}",
            "take RequireAndVerifyClientCert",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, client_ca_file: ca}}", "lets nobody be verified"),
        (f"tls_server_config: {{{CERTIFICATE}, client_allowed_sans: [a]}}", "not verified"),
        (f"tls_server_config: {{{CERTIFICATE}, client_allowed_sans: []}}", "must be a list with something"),
        ("http_server_config: {http2: perhaps}", "http2 must be true or false"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "must be deny or sameorigin"),
        ("http_server_config: {headers: {X-Content-Type-Options: x}}", "must be nosniff"),
        ('http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a"}}', "printable ASCII"),
        ("basic_auth_users: [alice]", "must hold a name and the bcrypt hash"),
        ("basic_auth_users: {alice: secret}", '"alice" is no bcrypt hash'),
        ("basic_auth_users: {alice: [secret]}", '"alice" is no bcrypt hash'),
        ("basic_auth_users: {alice: }", '"alice" is no bcrypt hash'),
        (f"basic_auth_users: {{'a:b': {HASH}}}", "has a colon in it"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$32$')}}}", "has the cost 32"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$03$')}}}", "has the cost 3"),
        ("rate_limit: {interval: soon}", 'interval: "soon" is no duration'),
        ("rate_limit: {burst: -1}", "burst must be a whole number"),
        ("rate_limit: {interval: -1s, burst: 1}", 'interval: "-1s" is no duration'),
        ("rate_limit: {interval: 1.5, burst: 1}", 'interval: "1.5" is no duration'),
        (f"rate_limit: {{interval: {'9' * 400}y, burst: 1}}", "interval is longer than a century"),
        # Python's bcrypt takes no such hash, so nobody could ever come in by it.
        (f"basic_auth_users: {{alice: {HASH.replace('$2y$', '$2$')}}}", '"alice" is no bcrypt hash'),
        ('tls_server_config: {cert_file: "c\\0", key_file: k}', "cert_file has a character"),
        ('tls_server_config: {cert: C, key: "\\ud800"}', "key has a character"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(WebConfigError) as refused:
        parse(text, HERE)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1h0m0s", 3600),
        ("1.5s", 1.5),
        ("500us", 0.0005),
        ("250µs", 0.00025),
        ("0.5m10ms", 30.01),
        ("1d", 86400),
    ],
)
def test_an_interval_is_written_as_in_go(written: str, seconds: float) -> None:
    """As exporter-toolkit reads it; and as Prometheus writes it, like all else here."""
    limit = parse(f"rate_limit: {{interval: {written}, burst: 1}}", HERE).rate_limit
    assert limit.interval == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$18$')}}}", '"alice" has the bcrypt cost 18'),
        ("rate_limit: {interval: 1s}", "every request is refused"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$16$')}}}", ""),
        ("rate_limit: {burst: 3}", ""),
    ],
)
def test_odd_values_are_accepted_with_a_warning(text: str, warning: str) -> None:
    warnings = parse(text, HERE).warnings()
    assert len(warnings) == bool(warning)
    assert all(warning in sentence for sentence in warnings)


@pytest.mark.parametrize("kind", ["NoClientCert", "RequestClientCert"])
def test_clients_that_are_not_verified(kind: str) -> None:
    tls = parse(f"tls_server_config: {{{CERTIFICATE}, client_auth_type: {kind}}}", HERE).tls
    assert tls is not None
    assert tls.client_auth_type == kind


def refusal(text: str) -> str:
    """The sentence; empty where there is none."""
    try:
        parse(text, HERE)
    except WebConfigError as refused:
        return str(refused)
    return ""


KEYS = st.sampled_from(
    [
        "tls_server_config",
        "http_server_config",
        "basic_auth_users",
        "rate_limit",
        "headers",
        "http2",
        "cert_file",
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_is_in_it_there_is_a_value_or_one_sentence(value: object) -> None:
    assert "\n" not in refusal(yaml.safe_dump(value))


@given(st.text(max_size=60))
def test_whatever_is_written_there_is_a_value_or_one_sentence(text: str) -> None:
    assert "\n" not in refusal(text)
