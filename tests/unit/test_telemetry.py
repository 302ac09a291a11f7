"""Settings from the OTEL_* environment variables."""

from dataclasses import replace
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import (
    DISABLED,
    Endpoint,
    Telemetry,
    read_host_id,
    read_telemetry,
)

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = {BASE: "http://here:4318"}


def traces(**variables: str) -> Endpoint:
    endpoint = read_telemetry({**HERE, **{f"OTEL_{name}": value for name, value in variables.items()}}).traces
    assert endpoint is not None
    return endpoint


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {BASE: ""},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {**HERE, "OTEL_SDK_DISABLED": "True"},
        {**HERE, "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://here"},
    ],
)
def test_export_is_disabled_without_an_endpoint(environment: dict[str, str]) -> None:
    assert not read_telemetry(environment)


def test_general_endpoint_gets_the_signal_paths() -> None:
    found = read_telemetry({BASE: "https://here:4318/otlp/?tenant=1"})
    assert found.traces == Endpoint("https://here:4318/otlp/v1/traces?tenant=1")
    assert found.logs == Endpoint("https://here:4318/otlp/v1/logs?tenant=1")


def test_signal_endpoint_is_used_unchanged() -> None:
    found = read_telemetry({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://loki:3100/otlp/v1/logs"})
    assert found == Telemetry(None, Endpoint("http://loki:3100/otlp/v1/logs"))


def test_grpc_endpoint_has_no_path() -> None:
    assert traces(EXPORTER_OTLP_PROTOCOL="grpc").url == "http://here:4318"
    assert (
        traces(EXPORTER_OTLP_PROTOCOL="grpc", EXPORTER_OTLP_ENDPOINT="here:4317").url == "https://here:4317"
    )
    insecure = {"EXPORTER_OTLP_ENDPOINT": "here:4317", "EXPORTER_OTLP_INSECURE": "true"}
    assert traces(EXPORTER_OTLP_PROTOCOL="grpc", **insecure).url == "http://here:4317"


def test_signal_variable_takes_precedence(tmp_path: Path) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.touch()
    endpoint = traces(
        EXPORTER_OTLP_HEADERS="api-key=base",
        EXPORTER_OTLP_TRACES_HEADERS="Api-Key=s%20e%3Dcret,x=1=2",
        EXPORTER_OTLP_TIMEOUT="10000",
        EXPORTER_OTLP_TRACES_TIMEOUT="2500",
        EXPORTER_OTLP_TRACES_COMPRESSION="none",
        EXPORTER_OTLP_CERTIFICATE=str(certificate),
    )
    assert endpoint.headers == (("api-key", "s e=cret"), ("x", "1=2"))
    assert (endpoint.timeout, endpoint.compression, endpoint.certificate) == (2.5, "none", str(certificate))


def test_console_can_be_enabled_per_signal() -> None:
    assert read_telemetry({"OTEL_TRACES_EXPORTER": "console"}) == Telemetry(console_signals=("traces",))
    assert read_telemetry({**HERE, "OTEL_LOGS_EXPORTER": "console"}).console_signals == ("logs",)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (BASE, "here:4318", "is not a valid URL; use e.g. http://localhost:4318"),
        (BASE, "http://", "is not a valid URL"),
        (BASE, "http://here:port", "is not a valid URL"),
        (
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "10",
            'invalid timeout "10"; use milliseconds, at least 100, e.g. 10000',
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", 'invalid timeout "10s"; use milliseconds'),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/nowhere",
            "OTEL_EXPORTER_OTLP_CERTIFICATE: cannot read the file",
        ),
        (
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
            "/nowhere",
            "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY: cannot read the file",
        ),
    ],
)
def test_invalid_value_is_reported_in_one_sentence(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_telemetry({**HERE, name: value})
    assert sentence in str(refused.value)


@pytest.mark.parametrize("value", ["hunter2", "a=1,hunter2", "a b=hunter2", "key=hunter2%0d%0aX: y"])
def test_invalid_header_is_reported_without_its_value(value: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_telemetry({**HERE, "OTEL_EXPORTER_OTLP_HEADERS": value})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "same_as"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", ""),
        ("OTEL_TRACES_EXPORTER", "otlp_proto_http", "otlp"),
        ("OTEL_LOGS_EXPORTER", "otlp,logging", "otlp"),
        ("OTEL_LOGS_EXPORTER", "prometheus, console", "console"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json", ""),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zstd", ""),
        ("OTEL_SDK_DISABLED", "yes", ""),
    ],
)
def test_unknown_enum_value_warns_and_counts_as_unset(name: str, value: str, same_as: str) -> None:
    found = read_telemetry({**HERE, name: value})
    assert replace(found, warnings=()) == read_telemetry({**HERE, name: same_as})
    (warning,) = found.warnings
    assert warning.startswith(f"{name}: unknown value ")


def test_unknown_signal_value_falls_back_to_the_general_one() -> None:
    endpoint = traces(EXPORTER_OTLP_TRACES_COMPRESSION="deflate", EXPORTER_OTLP_COMPRESSION="none")
    assert endpoint.compression == "none"


def test_unknown_insecure_value_warns_and_keeps_tls() -> None:
    found = read_telemetry(
        {BASE: "here:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_INSECURE": "1"}
    )
    assert found.traces is not None
    assert found.traces.url == "https://here:4317"
    assert "OTEL_EXPORTER_OTLP_INSECURE" in found.warnings[0]


def test_warning_is_one_short_printable_line() -> None:
    (warning,) = read_telemetry({"OTEL_TRACES_EXPORTER": "x\ny\x1b" * 1000}).warnings
    assert warning.isprintable()
    assert len(warning) < 200


@pytest.mark.parametrize("value", ["otlp,console", "console, OTLP", "otlp,console,otlp"])
def test_exporters_may_be_a_list(value: str) -> None:
    found = read_telemetry({**HERE, "OTEL_TRACES_EXPORTER": value})
    assert found.traces is not None
    assert found.console_signals == ("traces",)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("target", "insecure", "is_insecure"),
    [
        ("dns:///here:4317", "", False),
        ("dns:///here:4317", "true", True),
        ("dns:here:4317", "true", True),
        ("unix:///run/collector.sock", "", True),
        ("unix:collector.sock", "", True),
        ("unix:collector.sock", "false", False),
        ("ipv4:127.0.0.1:4317", "true", True),
    ],
)
def test_grpc_target_is_used_unchanged(target: str, insecure: str, is_insecure: bool) -> None:  # noqa: FBT001
    endpoint = traces(
        EXPORTER_OTLP_PROTOCOL="grpc", EXPORTER_OTLP_ENDPOINT=target, EXPORTER_OTLP_INSECURE=insecure
    )
    assert (endpoint.url, endpoint.is_insecure, endpoint.display_url) == (target, is_insecure, target)


def test_host_named_dns_is_a_host() -> None:
    assert traces(EXPORTER_OTLP_PROTOCOL="grpc", EXPORTER_OTLP_ENDPOINT="dns:4317").url == "https://dns:4317"


def test_grpc_target_is_invalid_for_http() -> None:
    with pytest.raises(ValueError, match="is not a valid URL"):
        read_telemetry({BASE: "unix:///run/collector.sock"})


def test_secrets_are_not_displayed() -> None:
    endpoint = traces(
        EXPORTER_OTLP_ENDPOINT="https://eve:hunter2@here/x?key=hunter2", EXPORTER_OTLP_HEADERS="a=hunter2"
    )
    assert endpoint.display_url == "https://here/x/v1/traces"
    assert "hunter2" not in repr(endpoint) + repr(Settings(telemetry=Telemetry(traces=endpoint)))


def test_endpoint_requires_the_journal() -> None:
    with pytest.raises(ValueError, match="OpenTelemetry export needs the journal"):
        Settings(journal_path="none", telemetry=read_telemetry(HERE))
    Settings(journal_path="none", telemetry=DISABLED)


def test_host_id_is_the_first_nonempty_file(tmp_path: Path) -> None:
    empty, there = tmp_path / "empty", tmp_path / "there"
    empty.touch()
    there.write_text("abc\n")
    assert read_host_id((tmp_path / "missing", empty, there)) == "abc"
    assert read_host_id((tmp_path / "missing",)) == ""
