"""Encoding of spans and log records as OTLP messages: names, attributes, status, severity.

Invariant: the same item always gives the same bytes. The span event and the log record of a transition have
the same name, attributes and ids. Names are API (docs/otel.md).

A time outside of OTLP's range (before 1970, after 2554) and a lone surrogate in a string raise
``ValueError``.

https://github.com/open-telemetry/opentelemetry-proto
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as EncodedResource
from opentelemetry.proto.trace.v1 import trace_pb2 as trace
from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.engine.spans import Span
from libvirt_lifecycle_exporter.journal.export_items import LOGS, ExportItem, Row
from libvirt_lifecycle_exporter.model.severity import Severity, meaning_of

Value = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Value]

_SCOPE: Final = common.InstrumentationScope(name="libvirt_lifecycle_exporter", version=__version__)
_SEVERITY_NUMBERS: Final = MappingProxyType(
    {
        Severity.INFO: (logs.SEVERITY_NUMBER_INFO, "INFO"),
        Severity.WARNING: (logs.SEVERITY_NUMBER_WARN, "WARN"),
        Severity.ERROR: (logs.SEVERITY_NUMBER_ERROR, "ERROR"),
    }
)
_FLAG_SAMPLED: Final = 1
"""https://www.w3.org/TR/trace-context/#sampled-flag"""
_SPAN_FLAGS: Final = trace.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_MAX_TIME: Final = 2**64 / 1e9
"""Unix time in seconds: the limit of fixed64 ``time_unix_nano``."""


class Encoder:
    """Encodes export items."""

    def __init__(self, resources: Mapping[str, Resource], *, span_events: bool = True) -> None:
        """``resources``: by connection; ``span_events``: whether a span has its transitions as events."""
        self._resources = resources
        self._span_events = span_events

    def request(self, signal: str, items: Sequence[ExportItem]) -> bytes:
        """Return an OTLP request as protobuf. Raises ValueError if an item cannot be encoded."""
        message = self._logs_request(items) if signal == LOGS else self._traces_request(items)
        return bytes(message.SerializeToString(deterministic=True))

    def spans(self, items: Sequence[ExportItem]) -> list[tuple[Resource, trace.Span]]:
        """Return the spans of items with their resources; log records are left out."""
        return [
            (self._resource(item.connection), self._span(item, item.span))
            for item in items
            if item.span is not None
        ]

    def log_records(self, items: Sequence[ExportItem]) -> list[tuple[Resource, logs.LogRecord]]:
        """Return the log records of items with their resources; spans are left out."""
        return [
            (self._resource(row.change.connection), _log_record(row))
            for item in items
            for row in item.rows
            if item.span is None
        ]

    def _traces_request(self, items: Sequence[ExportItem]) -> ExportTraceServiceRequest:
        by_resource: dict[Resource, list[trace.Span]] = {}
        for resource, span in self.spans(items):
            by_resource.setdefault(resource, []).append(span)
        return ExportTraceServiceRequest(
            resource_spans=[
                trace.ResourceSpans(
                    resource=_encode_resource(resource),
                    scope_spans=[trace.ScopeSpans(scope=_SCOPE, spans=spans)],
                )
                for resource, spans in by_resource.items()
            ]
        )

    def _logs_request(self, items: Sequence[ExportItem]) -> ExportLogsServiceRequest:
        by_resource: dict[Resource, list[logs.LogRecord]] = {}
        for resource, record in self.log_records(items):
            by_resource.setdefault(resource, []).append(record)
        return ExportLogsServiceRequest(
            resource_logs=[
                logs.ResourceLogs(
                    resource=_encode_resource(resource),
                    scope_logs=[logs.ScopeLogs(scope=_SCOPE, log_records=records)],
                )
                for resource, records in by_resource.items()
            ]
        )

    def _span(self, item: ExportItem, span: Span) -> trace.Span:
        errors = [row for row in item.rows if is_error(row)]
        status = trace.Status()
        if errors:
            status = trace.Status(code=trace.Status.STATUS_CODE_ERROR, message=errors[-1].message)
        return trace.Span(
            trace_id=bytes.fromhex(span.ref.trace_id),
            span_id=bytes.fromhex(span.ref.span_id),
            name=span.name,
            kind=trace.Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=_nanoseconds(span.began),
            end_time_unix_nano=_nanoseconds(span.ended),
            attributes=_encode_attributes(dict(_span_attributes(item, span, errors))),
            events=[_span_event(row) for row in item.rows] if self._span_events else [],
            links=[
                trace.Span.Link(
                    trace_id=bytes.fromhex(link.ref.trace_id),
                    span_id=bytes.fromhex(link.ref.span_id),
                    attributes=_encode_attributes({"libvirt.link.relations": link.relations}),
                    flags=_SPAN_FLAGS,
                )
                for link in span.links
            ],
            status=status,
            flags=_SPAN_FLAGS,
        )

    def _resource(self, connection: str) -> Resource:
        """Return the resource of a connection.

        A connection that is no longer configured may have pending items; any resource serves for them.
        """
        return self._resources.get(connection) or next(iter(self._resources.values()))


def is_error(row: Row) -> bool:
    """Return whether a transition is an error."""
    return meaning_of(row.change).severity is Severity.ERROR


def event_name(row: Row) -> str:
    """Return the name of a transition's span event and log record."""
    return f"libvirt.domain.{row.change.event}"


def attributes(row: Row) -> Attributes:
    """Return the attributes of a transition's span event and log record."""
    change = row.change
    found: dict[str, Value] = {
        "libvirt.domain.name": change.name,
        "libvirt.domain.uuid": change.uuid,
        "libvirt.domain.id": change.domain_id,
        "libvirt.connection.uri": change.connection,
        "libvirt.domain.event.reason": change.reason,
        "libvirt.domain.event.detail": change.detail,
        "libvirt.domain.event.detail_code": change.detail_code,
        "libvirt.event.source": change.source,
        "libvirt.event.sequence": row.number,
    }
    if row.message:
        found["libvirt.domain.message"] = row.message
    if change.run_id:
        found["libvirt.domain.run.id"] = change.run_id
    if change.incident_id:
        found["libvirt.incident.id"] = change.incident_id
    if is_error(row):
        found["error.type"] = _error_type(row)
    return found


def _span_attributes(item: ExportItem, span: Span, errors: Sequence[Row]) -> Iterator[tuple[str, Value]]:
    yield "libvirt.connection.uri", item.connection
    yield "libvirt.domain.uuid", item.uuid
    if item.rows:
        change = item.rows[-1].change
        yield "libvirt.domain.name", change.name
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
    if errors:
        yield "error.type", _error_type(errors[-1])


def _error_type(row: Row) -> str:
    return f"libvirt.domain.{row.change.event}.{row.change.reason}"


def _span_event(row: Row) -> trace.Span.Event:
    return trace.Span.Event(
        name=event_name(row),
        time_unix_nano=_nanoseconds(row.change.at),
        attributes=_encode_attributes(attributes(row)),
    )


def _log_record(row: Row) -> logs.LogRecord:
    change = row.change
    at = _nanoseconds(change.at)
    number, text = _SEVERITY_NUMBERS[meaning_of(change).severity]
    body = row.message or f"{change.name}: {change.event} ({change.reason})"
    return logs.LogRecord(
        time_unix_nano=at,
        observed_time_unix_nano=at,
        trace_id=bytes.fromhex(row.ref.trace_id),
        span_id=bytes.fromhex(row.ref.span_id),
        flags=_FLAG_SAMPLED,
        severity_number=number,
        severity_text=text,
        body=_encode_value(body),
        attributes=_encode_attributes(attributes(row)),
        event_name=event_name(row),
    )


def _encode_resource(resource: Resource) -> EncodedResource:
    return EncodedResource(attributes=_encode_attributes(resource.attributes))


def _encode_attributes(found: Mapping[str, object]) -> list[common.KeyValue]:
    return [common.KeyValue(key=key, value=_encode_value(value)) for key, value in found.items()]


def _encode_value(value: object) -> common.AnyValue:
    match value:
        case bool():
            return common.AnyValue(bool_value=value)
        case str():
            return common.AnyValue(string_value=value)
        case int():
            return common.AnyValue(int_value=value)
        case float():
            return common.AnyValue(double_value=value)
        case tuple() | list():
            values = [_encode_value(one) for one in value]
            return common.AnyValue(array_value=common.ArrayValue(values=values))
        case _:
            raise ValueError(f"unsupported attribute type: {type(value).__name__}")


def _nanoseconds(at: float) -> int:
    if not 0 < at < _MAX_TIME:
        raise ValueError(f"time out of range: {at!r}")
    return int(at * 1e9)
