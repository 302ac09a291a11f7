import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.config.options import OPTIONS
from libvirt_lifecycle_exporter.config.settings import (
    ListenAddress,
    Settings,
    Target,
    canonical_uri,
    parse_duration,
    parse_listen_address,
    parse_target,
    without_password,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("2m", 120),
        ("24h", 86_400),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1d", 86_400),
        ("1w", 604_800),
        ("0", 0),
    ],
)
def test_durations_in_prometheus_notation_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "1s1m", "-1s", "1.5h", " 1s", "1s\n", "1 s", "\u0661s"])
def test_invalid_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":10177", ListenAddress("", 10177)),
        ("127.0.0.1:80", ListenAddress("127.0.0.1", 80)),
        ("[::1]:10177", ListenAddress("::1", 10177)),
        ("[fe80::1%eth0]:1", ListenAddress("fe80::1%eth0", 1)),
        ("localhost:0", ListenAddress("localhost", 0)),
    ],
)
def test_listen_addresses_are_parsed(text: str, expected: ListenAddress) -> None:
    assert parse_listen_address(text) == expected
    assert parse_listen_address(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "10177", "::1:10177", "host", "host:", "host:99999", "host:1x", "[::1]", "a:b:1"]
)
def test_invalid_listen_address_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="invalid listen address"):
        parse_listen_address(text)


@pytest.mark.parametrize(
    ("uri", "label"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+unix:///session?socket=/run/x=y", "qemu:///session"),
        ("qemu+ssh://root:pw@node1:2222/system?keyfile=/k", "qemu://node1:2222/system"),
        ("qemu+tls://[fd00::1]/system", "qemu://[fd00::1]/system"),
        ("test:///default", "test:///default"),
        ("lxc:///system", "lxc:///system"),
    ],
)
def test_default_label_has_no_transport_user_or_query(uri: str, label: str) -> None:
    assert canonical_uri(uri) == label
    assert parse_target(uri) == Target(label, uri)
    assert parse_target(f"node-1={uri}") == Target("node-1", uri)


@pytest.mark.parametrize(
    "text", ["", "qemu", "name=", "name=qemu", "qemu:///sys tem", "qemu:///system\n", "=qemu:///system"]
)
def test_invalid_uri_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="invalid libvirt URI"):
        parse_target(text)


@given(st.text(max_size=30))
def test_parsers_raise_value_error_with_one_sentence(text: str) -> None:
    sentences = []
    for parse in (parse_duration, parse_listen_address, parse_target):
        try:
            parse(text)
        except ValueError as refused:
            sentences.append(str(refused).replace(text, ""))
    assert not any("\n" in sentence for sentence in sentences)


def test_duplicate_connection_label_is_rejected() -> None:
    with pytest.raises(ValueError, match="have the connection label"):
        Settings(targets=(parse_target("qemu:///system"), parse_target("qemu+ssh:///system")))
    Settings(targets=(parse_target("qemu:///system"), parse_target("far=qemu+ssh:///system")))


@pytest.mark.parametrize("field", ["domain_include", "domain_exclude"])
def test_invalid_domain_pattern_is_rejected(field: str) -> None:
    with pytest.raises(ValueError, match="invalid regular expression"):
        Settings(**{field: "("})  # type: ignore[arg-type]


def test_keepalive_interval_must_be_whole_seconds() -> None:
    with pytest.raises(ValueError, match="whole number of seconds"):
        Settings(keepalive_interval=0.5)


def test_defaults_in_help_are_the_defaults_of_settings() -> None:
    defaults = Settings()
    for option in OPTIONS:
        shown = (
            option.type.convert(option.default, None, None)
            if hasattr(option.type, "convert")
            else option.default
        )
        assert getattr(defaults, option.field) == ((shown,) if option.is_repeatable else shown), option.name
    # The OTLP endpoints are set by the standard OTEL_* variables, not by options.
    assert {option.field for option in OPTIONS} | {"telemetry"} == set(Settings.__slots__)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("qemu+ssh://root:pw@node1/system?keyfile=/k", "qemu+ssh://root@node1/system?keyfile=/k"),
        ("qemu+ssh://root@node1:22/system", "qemu+ssh://root@node1:22/system"),
        ("qemu:///system", "qemu:///system"),
    ],
)
def test_shown_uri_has_no_password(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
