"""Maps a receiver's response to an ``ExportResult``. Pure.

Invariant: an item counts as delivered only if the receiver accepted it. An ambiguous response means "retry",
because a pending item can still be sent later. Only responses about the data can make an item suspect.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-response and #otlpgrpc-response
"""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES

_MAX_TEXT = 200
MAX_RETRY_AFTER: Final = 600.0
"""Longest delay, in seconds, that a receiver may request."""


class ExportStatus(Enum):
    """What to do with the items of a request. The values of permanent errors are drop causes."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """The response does not blame the items: keep them and retry."""
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    """The receiver rejected the data: at least one item, or every request."""
    FAILED = "failed"
    """The receiver failed while it processed the request; one item may be the cause."""
    UNENCODABLE = "unencodable"
    """The request could not be encoded and was not sent."""


class ExportResult(NamedTuple):
    """The result of one request."""

    status: ExportStatus
    error: str = ""
    """The receiver's error text; printable, at most 200 characters."""
    retry_after: float = 0.0
    """Seconds to wait before the next request, as requested by the receiver."""
    rejected: int = 0
    """Number of items of a delivered request that the receiver rejected (partial success)."""


ACCEPTED: Final = ExportResult(ExportStatus.DELIVERED)

_HTTP_STATUSES: Final[Mapping[int, ExportStatus]] = MappingProxyType(
    {
        400: ExportStatus.REJECTED,
        413: ExportStatus.TOO_LARGE,
        422: ExportStatus.REJECTED,
        500: ExportStatus.FAILED,
    }
)
"""HTTP status -> result. The body decides for 2xx. All others mean RETRY: redirects, missing permissions,
wrong paths, overload.
"""

_GRPC_STATUSES: Final[Mapping[str, ExportStatus]] = MappingProxyType(
    {
        "INVALID_ARGUMENT": ExportStatus.REJECTED,
        "INTERNAL": ExportStatus.FAILED,
        "UNKNOWN": ExportStatus.FAILED,
    }
)
"""gRPC status -> result. All others mean RETRY."""

_TOO_LARGE_DETAILS: Final = "larger than max"
"""gRPC reports a too large message as RESOURCE_EXHAUSTED, like an overload; only the details differ."""

_RESPONSES: Final[Mapping[str, Any]] = MappingProxyType(
    {TRACES: ExportTraceServiceResponse, LOGS: ExportLogsServiceResponse}
)
_REJECTED_FIELDS: Final = MappingProxyType({TRACES: "rejected_spans", LOGS: "rejected_log_records"})
_REJECTED_JSON_FIELDS: Final = MappingProxyType({TRACES: "rejectedSpans", LOGS: "rejectedLogRecords"})
_NOT_OTLP: Final = ExportResult(ExportStatus.RETRY, "HTTP status 2xx, but the body is not an OTLP response")


def from_http(signal: str, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ExportResult:
    """Return the result of an HTTP response.

    ``headers``: by lower-case name; ``now``: Unix time in seconds.
    """
    if 200 <= status < 300:  # noqa: PLR2004 - defined by HTTP
        return _from_body(signal, headers.get("content-type", ""), body)
    delay = _retry_after(headers.get("retry-after", ""), now)
    return ExportResult(_HTTP_STATUSES.get(status, ExportStatus.RETRY), f"HTTP status {status}", delay)


def from_grpc(code: str, details: str, retry_after: float) -> ExportResult:
    """Return the result of a gRPC status. ``retry_after``: seconds, as requested by the receiver."""
    error = sanitize(f"gRPC status {code}: {details}" if details else f"gRPC status {code}")
    if code == "RESOURCE_EXHAUSTED" and _TOO_LARGE_DETAILS in details:
        return ExportResult(ExportStatus.TOO_LARGE, error)
    status = _GRPC_STATUSES.get(code, ExportStatus.RETRY)
    return ExportResult(status, error, min(max(retry_after, 0.0), MAX_RETRY_AFTER))


def from_message(signal: str, response: Any) -> ExportResult:  # noqa: ANN401 - one of two protobuf classes
    """Return the result of a decoded success response, which may be a partial success."""
    partial = response.partial_success
    rejected = max(0, int(getattr(partial, _REJECTED_FIELDS[signal])))
    return ExportResult(ExportStatus.DELIVERED, sanitize(partial.error_message), 0.0, rejected)


def sanitize(text: str) -> str:
    """Return a receiver's text in a form that can be logged: printable, at most 200 characters."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT])


def _from_body(signal: str, content_type: str, body: bytes) -> ExportResult:
    if not body:
        return ACCEPTED
    if content_type.startswith("application/json"):
        return _from_json(signal, body)
    try:
        return from_message(signal, _RESPONSES[signal].FromString(body))
    except DecodeError:
        return _NOT_OTLP


def _from_json(signal: str, body: bytes) -> ExportResult:
    try:
        partial = json.loads(body).get("partialSuccess") or {}
        rejected = int(partial.get(_REJECTED_JSON_FIELDS[signal]) or 0)
        error = str(partial.get("errorMessage") or "")
    except (ValueError, AttributeError, TypeError):
        return _NOT_OTLP
    return ExportResult(ExportStatus.DELIVERED, sanitize(error), 0.0, max(0, rejected))


def _retry_after(text: str, now: float) -> float:
    """Return the seconds of a Retry-After header (seconds or a date); 0 if it is missing or invalid.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError, OSError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
