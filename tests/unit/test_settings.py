import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.config.options import FLAGS
from libvirt_lifecycle_exporter.config.settings import (
    Listen,
    Settings,
    Target,
    canonical,
    duration,
    listen,
    target,
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
def test_durations_are_read_as_prometheus_writes_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "s", "1s1m", "-1s", "1.5h", " 1s", "1s\n", "1 s", "\u0661s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":10177", Listen("", 10177)),
        ("127.0.0.1:80", Listen("127.0.0.1", 80)),
        ("[::1]:10177", Listen("::1", 10177)),
        ("[fe80::1%eth0]:1", Listen("fe80::1%eth0", 1)),
        ("localhost:0", Listen("localhost", 0)),
    ],
)
def test_addresses(text: str, expected: Listen) -> None:
    assert listen(text) == expected
    assert listen(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "10177", "::1:10177", "host", "host:", "host:99999", "host:1x", "[::1]", "a:b:1"]
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        listen(text)


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
def test_a_connection_goes_by_its_uri_without_transport_user_and_query(uri: str, label: str) -> None:
    assert canonical(uri) == label
    assert target(uri) == Target(label, uri)
    assert target(f"node-1={uri}") == Target("node-1", uri)


@pytest.mark.parametrize(
    "text", ["", "qemu", "name=", "name=qemu", "qemu:///sys tem", "qemu:///system\n", "=qemu:///system"]
)
def test_anything_else_is_no_uri(text: str) -> None:
    with pytest.raises(ValueError, match="is no libvirt URI"):
        target(text)


@given(st.text(max_size=30))
def test_what_is_accepted_never_raises_anything_else(text: str) -> None:
    sentences = []
    for read in (duration, listen, target):
        try:
            read(text)
        except ValueError as refused:
            sentences.append(str(refused).replace(text, ""))
    assert not any("\n" in sentence for sentence in sentences)


def test_two_connections_may_not_share_a_label() -> None:
    with pytest.raises(ValueError, match="would share the connection label"):
        Settings(targets=(target("qemu:///system"), target("qemu+ssh:///system")))
    Settings(targets=(target("qemu:///system"), target("far=qemu+ssh:///system")))


@pytest.mark.parametrize("field", ["domain_include", "domain_exclude"])
def test_expressions_must_be_expressions(field: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        Settings(**{field: "("})  # type: ignore[arg-type]


def test_keepalive_is_counted_in_whole_seconds() -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        Settings(keepalive_interval=0.5)


def test_the_defaults_that_the_help_shows_are_the_defaults() -> None:
    defaults = Settings()
    for flag in FLAGS:
        shown = flag.type.convert(flag.default, None, None) if hasattr(flag.type, "convert") else flag.default
        assert getattr(defaults, flag.field) == ((shown,) if flag.repeatable else shown), flag.name
    # OpenTelemetry's endpoints have standard variables of their own, and no flags.
    assert {flag.field for flag in FLAGS} | {"telemetry"} == set(Settings.__slots__)


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
