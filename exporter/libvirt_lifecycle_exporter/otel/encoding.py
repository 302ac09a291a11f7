"""Encoding of spans and log records: names, attributes, status, severity.

Invariant: the same item always gives the same bytes. The span event and the log record of a transition have
the same name, attributes and ids. Names are API (docs/otel.md).

A time outside of OpenTelemetry's range (before 1970, after 2554) and a lone surrogate in a string raise
``ValueError``.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.engine.spans import Span, SpanRef
from libvirt_lifecycle_exporter.journal.export_items import LOGS, ExportItem, Row

Attributes = Mapping[str, AttributeValue]

SCOPE: Final = InstrumentationScope("libvirt_lifecycle_exporter", __version__)

FAILURES: Final = frozenset(
    {
        ("stopped", "crashed"),
        ("stopped", "failed"),
        ("stopped", "hung"),
        ("suspended", "ioerror"),
        ("suspended", "watchdog"),
        ("suspended", "api_error"),
        ("suspended", "postcopy_failed"),
    }
)
"""(event, reason) pairs that are failures."""
FAILURE_EVENTS: Final = frozenset({"crashed", "hung"})
"""Events that are failures with any reason."""

_SEVERITY: Final[Mapping[bool, tuple[SeverityNumber, str]]] = MappingProxyType(
    {False: (SeverityNumber.INFO, "INFO"), True: (SeverityNumber.ERROR, "ERROR")}
)
_MAX_TIME: Final = 2**64 / 1e9
"""Unix time in seconds. https://github.com/open-telemetry/opentelemetry-proto: fixed64 time_unix_nano"""


class Encoder:
    """Encodes export items."""

    def __init__(self, resources: Mapping[str, Resource], *, span_events: bool = True) -> None:
        """``resources``: by connection; ``span_events``: whether a span has its transitions as events."""
        self._resources = resources
        self._span_events = span_events

    def request(self, signal: str, items: Sequence[ExportItem]) -> bytes:
        """Return an OTLP request as protobuf. Raises ValueError if an item cannot be encoded."""
        encoded = encode_logs(self.logs(items)) if signal == LOGS else encode_spans(self.spans(items))
        return bytes(encoded.SerializeToString(deterministic=True))

    def spans(self, items: Sequence[ExportItem]) -> list[ReadableSpan]:
        """Return the spans of items; log records are left out."""
        return [self._span(item, item.span) for item in items if item.span is not None]

    def logs(self, items: Sequence[ExportItem]) -> list[ReadableLogRecord]:
        """Return the log records of items; spans are left out."""
        return [self._log(row) for item in items for row in item.rows if item.span is None]

    def _span(self, item: ExportItem, span: Span) -> ReadableSpan:
        failed = [row for row in item.rows if is_failure(row)]
        status = Status(StatusCode.ERROR, failed[-1].message or None) if failed else Status(StatusCode.UNSET)
        return ReadableSpan(
            name=span.name,
            context=_context(span.ref),
            resource=self._resource(item.connection),
            attributes=dict(_span_attributes(item, span, failed)),
            events=[_span_event(row) for row in item.rows] if self._span_events else [],
            links=[
                Link(_context(link.ref), {"libvirt.link.relations": link.relations}) for link in span.links
            ],
            kind=SpanKind.INTERNAL,
            status=status,
            start_time=_nanoseconds(span.began),
            end_time=_nanoseconds(span.ended),
            instrumentation_scope=SCOPE,
        )

    def _log(self, row: Row) -> ReadableLogRecord:
        change = row.change
        at = _nanoseconds(change.at)
        number, text = _SEVERITY[is_failure(row)]
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            context=trace.set_span_in_context(trace.NonRecordingSpan(_context(row.ref))),
            severity_number=number,
            severity_text=text,
            body=_checked(row.message or f"{change.name}: {change.event} ({change.reason})"),
            attributes=attributes(row),
            event_name=event_name(row),
        )
        return ReadableLogRecord(record, self._resource(change.connection), SCOPE)

    def _resource(self, connection: str) -> Resource:
        """Return the resource of a connection.

        A connection that is no longer configured may have pending items; any resource serves for them.
        """
        return self._resources.get(connection) or next(iter(self._resources.values()))


def is_failure(row: Row) -> bool:
    """Return whether a transition is a failure."""
    return row.change.event in FAILURE_EVENTS or (row.change.event, row.change.reason) in FAILURES


def event_name(row: Row) -> str:
    """Return the name of a transition's span event and log record."""
    return f"libvirt.domain.{row.change.event}"


def attributes(row: Row) -> Attributes:
    """Return the attributes of a transition's span event and log record."""
    change = row.change
    found: dict[str, AttributeValue] = {
        "libvirt.domain.name": _checked(change.name),
        "libvirt.domain.uuid": _checked(change.uuid),
        "libvirt.domain.id": change.domain_id,
        "libvirt.connection.uri": change.connection,
        "libvirt.domain.event.reason": _checked(change.reason),
        "libvirt.domain.event.detail": _checked(change.detail),
        "libvirt.domain.event.detail_code": change.detail_code,
        "libvirt.event.source": change.source,
        "libvirt.event.sequence": row.number,
    }
    if row.message:
        found["libvirt.domain.message"] = _checked(row.message)
    if change.run_id:
        found["libvirt.domain.run.id"] = change.run_id
    if change.incident_id:
        found["libvirt.incident.id"] = change.incident_id
    if is_failure(row):
        found["error.type"] = _error_type(row)
    return found


def _span_attributes(
    item: ExportItem, span: Span, failed: Sequence[Row]
) -> Iterator[tuple[str, AttributeValue]]:
    yield "libvirt.connection.uri", item.connection
    yield "libvirt.domain.uuid", _checked(item.uuid)
    if item.rows:
        change = item.rows[-1].change
        yield "libvirt.domain.name", _checked(change.name)
        yield "libvirt.domain.id", change.domain_id
        if change.run_id:
            yield "libvirt.domain.run.id", change.run_id
    incidents = [row.change.incident_id for row in item.rows if row.change.incident_id]
    if incidents:
        yield "libvirt.incident.id", incidents[-1]
    if span.outcome:
        yield "libvirt.operation.outcome", span.outcome
    if span.duration is not None:
        yield "libvirt.condition.duration", span.duration
    if failed:
        yield "error.type", _error_type(failed[-1])


def _error_type(row: Row) -> str:
    return f"libvirt.domain.{row.change.event}.{row.change.reason}"


def _span_event(row: Row) -> Event:
    return Event(event_name(row), attributes(row), _nanoseconds(row.change.at))


def _context(ref: SpanRef) -> SpanContext:
    return SpanContext(
        int(ref.trace_id, 16),
        int(ref.span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _checked(text: str) -> str:
    """Return ``text``. Raises ValueError for a lone surrogate, where protobuf would omit the attribute."""
    if not text.isascii():
        text.encode()
    return text


def _nanoseconds(at: float) -> int:
    if not 0 < at < _MAX_TIME:
        raise ValueError(f"time out of range: {at!r}")
    return int(at * 1e9)
