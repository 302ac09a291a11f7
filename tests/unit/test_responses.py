"""Results of HTTP and gRPC responses."""

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from libvirt_lifecycle_exporter.otel.responses import (
    MAX_RETRY_AFTER,
    ExportResult,
    ExportStatus,
    from_grpc,
    from_http,
)

NOW = 1_700_000_000.0
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, ExportStatus.DELIVERED),
        (202, ExportStatus.DELIVERED),
        (204, ExportStatus.DELIVERED),
        (301, ExportStatus.RETRY),
        (304, ExportStatus.RETRY),
        (307, ExportStatus.RETRY),
        (400, ExportStatus.REJECTED),
        (401, ExportStatus.RETRY),
        (403, ExportStatus.RETRY),
        (404, ExportStatus.RETRY),
        (408, ExportStatus.RETRY),
        (413, ExportStatus.TOO_LARGE),
        (422, ExportStatus.REJECTED),
        (429, ExportStatus.RETRY),
        (500, ExportStatus.FAILED),
        (502, ExportStatus.RETRY),
        (503, ExportStatus.RETRY),
        (504, ExportStatus.RETRY),
        (599, ExportStatus.RETRY),
    ],
)
def test_status_of_an_http_response(status: int, expected: ExportStatus) -> None:
    assert from_http("traces", status, {}, b"", NOW).status is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("-7", 0),
        ("9" * 400, MAX_RETRY_AFTER),
        ("Tue, 14 Nov 2023 22:13:35 GMT", 15),
        ("Tue, 14 Nov 2000 22:13:35 GMT", 0),
        ("soon", 0),
        ("²", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str, seconds: float) -> None:
    assert from_http("logs", 429, {"retry-after": text}, b"", NOW).retry_after == seconds


def test_partial_success_counts_rejected_items() -> None:
    spans = ExportTraceServiceResponse()
    spans.partial_success.rejected_spans = 3
    spans.partial_success.error_message = "too\nold"
    assert from_http("traces", 200, PROTOBUF, spans.SerializeToString(), NOW) == ExportResult(
        ExportStatus.DELIVERED, "too old", 0, 3
    )
    records = ExportLogsServiceResponse()
    records.partial_success.rejected_log_records = 2
    assert from_http("logs", 200, PROTOBUF, records.SerializeToString(), NOW).rejected == 2
    text = b'{"partialSuccess":{"rejectedLogRecords":"4","errorMessage":"no"}}'
    found = from_http("logs", 200, {"content-type": "application/json; charset=utf-8"}, text, NOW)
    assert found == ExportResult(ExportStatus.DELIVERED, "no", 0, 4)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>log in first</html>"),
        ("application/x-protobuf", b"\xff\xff garbage"),
        ("application/json", b"[1]"),
        ("application/json", b"{"),
    ],
)
def test_success_with_a_foreign_body_is_retried(kind: str, body: bytes) -> None:
    assert from_http("traces", 200, {"content-type": kind}, body, NOW).status is ExportStatus.RETRY


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf", "text/plain", ""])
def test_empty_success_is_accepted(kind: str) -> None:
    assert from_http("traces", 200, {"content-type": kind}, b"", NOW) == ExportResult(ExportStatus.DELIVERED)


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("UNAVAILABLE", "", ExportStatus.RETRY),
        ("RESOURCE_EXHAUSTED", "slow down", ExportStatus.RETRY),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5 vs. 4)", ExportStatus.TOO_LARGE),
        ("UNAUTHENTICATED", "", ExportStatus.RETRY),
        ("UNIMPLEMENTED", "", ExportStatus.RETRY),
        ("DEADLINE_EXCEEDED", "", ExportStatus.RETRY),
        ("INVALID_ARGUMENT", "", ExportStatus.REJECTED),
        ("INTERNAL", "", ExportStatus.FAILED),
        ("UNKNOWN", "", ExportStatus.FAILED),
    ],
)
def test_status_of_a_grpc_response(code: str, details: str, expected: ExportStatus) -> None:
    assert from_grpc(code, details, 1e9)[0] is expected
