"""Pure: what a receiver's answer means.

Law: only what was accepted is delivered. An answer that could also mean "later" is taken so, since what is
kept can still be sent; a row is suspected only by an answer that is about the data.

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

_MOST_WORDS = 200
LONGEST_WAIT: Final = 600.0
"""Seconds that a receiver may ask for."""


class Verdict(Enum):
    """What is to be done with a request's rows."""

    DELIVERED = "delivered"
    LATER = "later"
    """Nothing is wrong with the rows."""
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    """Something is wrong with a row, or with everything."""
    DOUBTFUL = "failed"
    """The receiver failed over it: a row may be the cause."""
    UNENCODABLE = "unencodable"
    """It never left."""


class Answer(NamedTuple):
    """What came back."""

    verdict: Verdict
    words: str = ""
    """For people; harmless, and short."""
    wait: float = 0.0
    """Seconds that the receiver asks for."""
    rejected: int = 0
    """Rows that it will not have, of those delivered."""


ACCEPTED: Final = Answer(Verdict.DELIVERED)

_HTTP: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        400: Verdict.REJECTED,
        413: Verdict.TOO_LARGE,
        422: Verdict.REJECTED,
        500: Verdict.DOUBTFUL,
    }
)
"""Status -> verdict; 2xx is decided by the body, all others are LATER: redirects, missing rights, wrong
paths.
"""

_GRPC: Final[Mapping[str, Verdict]] = MappingProxyType(
    {"INVALID_ARGUMENT": Verdict.REJECTED, "INTERNAL": Verdict.DOUBTFUL, "UNKNOWN": Verdict.DOUBTFUL}
)
"""Status -> verdict; all others are LATER."""

_LARGER: Final = "larger than max"
"""How gRPC says that a message is too large; the status is the same as for too many of them."""

_RESPONSES: Final[Mapping[str, Any]] = MappingProxyType(
    {TRACES: ExportTraceServiceResponse, LOGS: ExportLogsServiceResponse}
)
_COUNTS: Final = MappingProxyType({TRACES: "rejected_spans", LOGS: "rejected_log_records"})


def of_http(signal: str, status: int, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    """Read an HTTP answer; ``headers`` by lower-case name."""
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return _of_body(signal, headers.get("content-type", ""), body)
    wait = _retry_after(headers.get("retry-after", ""), now)
    return Answer(_HTTP.get(status, Verdict.LATER), f"it answers {status}", wait)


def of_grpc(code: str, details: str, wait: float) -> Answer:
    """Read a gRPC status; ``wait``: seconds that it asks for."""
    words = short(f"it answers {code}: {details}" if details else f"it answers {code}")
    if code == "RESOURCE_EXHAUSTED" and _LARGER in details:
        return Answer(Verdict.TOO_LARGE, words)
    return Answer(_GRPC.get(code, Verdict.LATER), words, min(max(wait, 0.0), LONGEST_WAIT))


def of_response(signal: str, response: Any) -> Answer:  # noqa: ANN401 - protobuf's classes are made at run time
    """Read the message that a receiver sends when it has accepted something."""
    partial = response.partial_success
    rejected = max(0, int(getattr(partial, _COUNTS[signal])))
    return Answer(Verdict.DELIVERED, short(partial.error_message), 0.0, rejected)


def short(words: str) -> str:
    """Make a stranger's words fit to be logged."""
    return "".join(char if char.isprintable() else " " for char in words[:_MOST_WORDS])


def _of_body(signal: str, kind: str, body: bytes) -> Answer:
    if not body:
        return ACCEPTED
    if kind.startswith("application/json"):
        return _of_json(signal, body)
    try:
        return of_response(signal, _RESPONSES[signal].FromString(body))
    except DecodeError:
        return Answer(Verdict.LATER, "it accepts, but its answer is none of OTLP")


def _of_json(signal: str, body: bytes) -> Answer:
    camel = {TRACES: "rejectedSpans", LOGS: "rejectedLogRecords"}[signal]
    try:
        partial = json.loads(body).get("partialSuccess") or {}
        rejected, words = int(partial.get(camel) or 0), str(partial.get("errorMessage") or "")
    except (ValueError, AttributeError, TypeError):
        return Answer(Verdict.LATER, "it accepts, but its answer is none of OTLP")
    return Answer(Verdict.DELIVERED, short(words), 0.0, max(0, rejected))


def _retry_after(text: str, now: float) -> float:
    """Read seconds or a date, https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError, OSError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)
