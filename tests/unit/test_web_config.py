"""Each key of the exporter-toolkit's file is parsed, or refused with one sentence."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.web.config import RateLimit, TlsConfig, WebConfig, parse
from libvirt_lifecycle_exporter.web.config_values import WebConfigError

FOLDER = Path("/etc/exporter")
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
ONLY_12 = "max_version: TLS12"
CERTIFICATE = "cert_file: c.pem, key_file: /keys/k.pem"

ALL_KEYS = f"""
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


def test_all_keys_are_parsed() -> None:
    assert parse(ALL_KEYS, FOLDER) == WebConfig(
        tls=TlsConfig(
            cert_file=FOLDER / "c.pem",
            key_file=Path("/keys/k.pem"),
            client_ca_file=FOLDER / "ca.pem",
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
def test_empty_file_is_the_default(text: str) -> None:
    assert parse(text, FOLDER) == WebConfig()


def test_inline_key_is_not_in_the_repr() -> None:
    tls = parse("tls_server_config: {cert: C, key: K}", FOLDER).tls
    assert tls == TlsConfig(cert="C", key="K")
    assert "K" not in repr(tls).replace("Key", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("surprise: 1", 'unknown key "surprise" in the file'),
        ("tls_server_config: {surprise: 1}", 'unknown key "surprise" in tls_server_config'),
        ("http_server_config: {http3: true}", 'unknown key "http3" in http_server_config'),
        ("http_server_config: {headers: {Server: x}}", 'unknown key "Server" in headers'),
        ("rate_limit: {rate: 1}", 'unknown key "rate" in rate_limit'),
        ("- a", "the file must be a mapping"),
        ("just words", "the file must be a mapping"),
        ("tls_server_config: [1]", "tls_server_config must be a mapping"),
        ("a: 1\na: 2", 'line 2, column 1: duplicate key "a"'),
        (f"basic_auth_users: {{a: {HASH}, a: {HASH}}}", 'duplicate key "a"'),
        ("? [1, 2]\n: 3", "a key is not a scalar"),
        ("a: [", "invalid YAML in line 1"),
        ("a: \x00", "invalid YAML"),
        ("[" * 5000, "invalid YAML"),
        ("a: 1\n---\nb: 2", "invalid YAML"),
        ("a: *b", "invalid YAML"),
        ("tls_server_config: {cert_file: c}", "key_file is missing"),
        ("tls_server_config: {key_file: k}", "cert_file is missing"),
        ("tls_server_config: {min_version: TLS13}", "cert_file is missing"),
        ("tls_server_config: {cert_file: c, cert: C, key_file: k}", "both cert and cert_file are set"),
        ("tls_server_config: {cert_file: [c], key_file: k}", "cert_file must be a string"),
        (f"tls_server_config: {{{CERTIFICATE}, min_version: TLS11}}", "TLS11 is not supported"),
        (f"tls_server_config: {{{CERTIFICATE}, max_version: TLS14}}", 'unknown TLS version "TLS14"'),
        (
            f"tls_server_config: {{{CERTIFICATE}, min_version: TLS13, max_version: TLS12}}",
            "min_version is newer than max_version",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, cipher_suites: [X]}}", 'unknown cipher suite "X"'),
        (f"tls_server_config: {{{CERTIFICATE}, cipher_suites: []}}", "cipher_suites must be a list"),
        (
            f"tls_server_config: {{{CERTIFICATE}, {ONLY_12}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
            "none of the cipher_suites belongs to TLS 1.2",
        ),
        (f"tls_server_config: {{{CERTIFICATE}, curve_preferences: [P1]}}", 'unknown curve "P1"'),
        (f"tls_server_config: {{{CERTIFICATE}, prefer_server_cipher_suites: 7}}", "must be true or false"),
        (f"tls_server_config: {{{CERTIFICATE}, client_auth_type: Maybe}}", 'unknown value "Maybe"'),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_auth_type: RequireAnyClientCert}}",
            "use RequireAndVerifyClientCert",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_ca_file: ca}}",
            "client_ca is set, but client_auth_type NoClientCert does not verify",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_allowed_sans: [a]}}",
            "client_allowed_sans is set, but client_auth_type NoClientCert does not verify",
        ),
        (
            f"tls_server_config: {{{CERTIFICATE}, client_allowed_sans: []}}",
            "must be a list with at least one item",
        ),
        ("http_server_config: {http2: perhaps}", "http2 must be true or false"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "must be deny or sameorigin"),
        ("http_server_config: {headers: {X-Content-Type-Options: x}}", "must be nosniff"),
        ('http_server_config: {headers: {X-XSS-Protection: "0\\r\\nSet-Cookie: a"}}', "printable ASCII"),
        ("basic_auth_users: [alice]", "must be a mapping of user names to bcrypt hashes"),
        ("basic_auth_users: {alice: secret}", '"alice" is not a bcrypt hash'),
        ("basic_auth_users: {alice: [secret]}", '"alice" is not a bcrypt hash'),
        ("basic_auth_users: {alice: }", '"alice" is not a bcrypt hash'),
        (f"basic_auth_users: {{'a:b': {HASH}}}", "must not contain a colon"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$32$')}}}", "has the invalid cost 32"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$03$')}}}", "has the invalid cost 3"),
        ("rate_limit: {interval: soon}", 'interval: invalid duration "soon"'),
        ("rate_limit: {burst: -1}", "burst must be an integer"),
        ("rate_limit: {interval: -1s, burst: 1}", 'interval: invalid duration "-1s"'),
        ("rate_limit: {interval: 1.5, burst: 1}", 'interval: invalid duration "1.5"'),
        (f"rate_limit: {{interval: {'9' * 400}y, burst: 1}}", "interval is longer than 100 years"),
        # Python's bcrypt does not accept such a hash, so no password could be valid.
        (f"basic_auth_users: {{alice: {HASH.replace('$2y$', '$2$')}}}", '"alice" is not a bcrypt hash'),
        ('tls_server_config: {cert_file: "c\\0", key_file: k}', "cert_file contains an invalid character"),
        ('tls_server_config: {cert: C, key: "\\ud800"}', "key contains an invalid character"),
    ],
)
def test_invalid_file_is_refused_with_one_sentence(text: str, message: str) -> None:
    with pytest.raises(WebConfigError) as error:
        parse(text, FOLDER)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


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
def test_interval_has_the_format_of_go_or_prometheus(written: str, seconds: float) -> None:
    limit = parse(f"rate_limit: {{interval: {written}, burst: 1}}", FOLDER).rate_limit
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
def test_questionable_values_cause_a_warning(text: str, warning: str) -> None:
    warnings = parse(text, FOLDER).warnings()
    assert len(warnings) == bool(warning)
    assert all(warning in sentence for sentence in warnings)


@pytest.mark.parametrize("kind", ["NoClientCert", "RequestClientCert"])
def test_client_auth_types_without_verification(kind: str) -> None:
    tls = parse(f"tls_server_config: {{{CERTIFICATE}, client_auth_type: {kind}}}", FOLDER).tls
    assert tls is not None
    assert tls.client_auth_type == kind


def error_message(text: str) -> str:
    """Return the error of the parser; empty: there is none."""
    try:
        parse(text, FOLDER)
    except WebConfigError as error:
        return str(error)
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
def test_any_value_is_parsed_or_refused_with_one_sentence(value: object) -> None:
    assert "\n" not in error_message(yaml.safe_dump(value))


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_with_one_sentence(text: str) -> None:
    assert "\n" not in error_message(text)
