"""What a receiver's answer means."""

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from libvirt_lifecycle_exporter.otel.responses import LONGEST_WAIT, Answer, Verdict, of_grpc, of_http

NOW = 1_700_000_000.0
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (202, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (301, Verdict.LATER),
        (304, Verdict.LATER),
        (307, Verdict.LATER),
        (400, Verdict.REJECTED),
        (401, Verdict.LATER),
        (403, Verdict.LATER),
        (404, Verdict.LATER),
        (408, Verdict.LATER),
        (413, Verdict.TOO_LARGE),
        (422, Verdict.REJECTED),
        (429, Verdict.LATER),
        (500, Verdict.DOUBTFUL),
        (502, Verdict.LATER),
        (503, Verdict.LATER),
        (504, Verdict.LATER),
        (599, Verdict.LATER),
    ],
)
def test_http(status: int, verdict: Verdict) -> None:
    assert of_http("traces", status, {}, b"", NOW).verdict is verdict


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("", 0),
        ("7", 7),
        ("-7", 0),
        ("9" * 400, LONGEST_WAIT),
        ("Tue, 14 Nov 2023 22:13:35 GMT", 15),
        ("Tue, 14 Nov 2000 22:13:35 GMT", 0),
        ("soon", 0),
        ("²", 0),
    ],
)
def test_how_long_to_wait(text: str, wait: float) -> None:
    assert of_http("logs", 429, {"retry-after": text}, b"", NOW).wait == wait


def test_a_partial_success_is_not_a_success() -> None:
    spans = ExportTraceServiceResponse()
    spans.partial_success.rejected_spans = 3
    spans.partial_success.error_message = "too\nold"
    assert of_http("traces", 200, PROTOBUF, spans.SerializeToString(), NOW) == Answer(
        Verdict.DELIVERED, "too old", 0, 3
    )
    records = ExportLogsServiceResponse()
    records.partial_success.rejected_log_records = 2
    assert of_http("logs", 200, PROTOBUF, records.SerializeToString(), NOW).rejected == 2
    text = b'{"partialSuccess":{"rejectedLogRecords":"4","errorMessage":"no"}}'
    found = of_http("logs", 200, {"content-type": "application/json; charset=utf-8"}, text, NOW)
    assert found == Answer(Verdict.DELIVERED, "no", 0, 4)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>log in first</html>"),
        ("application/x-protobuf", b"\xff\xff garbage"),
        ("application/json", b"[1]"),
        ("application/json", b"{"),
    ],
)
def test_a_success_that_is_none_of_otlp_is_no_success(kind: str, body: bytes) -> None:
    assert of_http("traces", 200, {"content-type": kind}, body, NOW).verdict is Verdict.LATER


@pytest.mark.parametrize("kind", ["application/json", "application/x-protobuf", "text/plain", ""])
def test_an_empty_success_is_one(kind: str) -> None:
    assert of_http("traces", 200, {"content-type": kind}, b"", NOW) == Answer(Verdict.DELIVERED)


@pytest.mark.parametrize(
    ("code", "details", "verdict"),
    [
        ("UNAVAILABLE", "", Verdict.LATER),
        ("RESOURCE_EXHAUSTED", "slow down", Verdict.LATER),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5 vs. 4)", Verdict.TOO_LARGE),
        ("UNAUTHENTICATED", "", Verdict.LATER),
        ("UNIMPLEMENTED", "", Verdict.LATER),
        ("DEADLINE_EXCEEDED", "", Verdict.LATER),
        ("INVALID_ARGUMENT", "", Verdict.REJECTED),
        ("INTERNAL", "", Verdict.DOUBTFUL),
        ("UNKNOWN", "", Verdict.DOUBTFUL),
    ],
)
def test_grpc(code: str, details: str, verdict: Verdict) -> None:
    assert of_grpc(code, details, 1e9)[0] is verdict
