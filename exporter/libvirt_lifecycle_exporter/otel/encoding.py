"""Encoding of spans and log records as OTLP messages: names, attributes, status, severity.

Invariant: the same item always gives the same bytes. The span event and the log record of a transition have
the same name, attributes and ids. Names are API (docs/otel.md).

A time outside of OTLP's range (before 1970, after 2554) and a lone surrogate in a string raise
``ValueError``.

The numbers of the fields: https://github.com/open-telemetry/opentelemetry-proto
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.engine.spans import Link, Span
from libvirt_lifecycle_exporter.journal.export_items import LOGS, ExportItem, Row
from libvirt_lifecycle_exporter.model.severity import Severity, meaning_of
from libvirt_lifecycle_exporter.otel.protobuf import (
    delimited,
    delimited_tag,
    fixed32_tag,
    fixed64_tag,
    int64,
    pack_double,
    pack_fixed32,
    pack_fixed64,
    varint,
    varint_tag,
)

_SEVERITIES: Final = MappingProxyType(
    {Severity.INFO: (9, b"INFO"), Severity.WARNING: (13, b"WARN"), Severity.ERROR: (17, b"ERROR")}
)
"""SeverityNumber and severity text."""
_FLAG_SAMPLED: Final = 1
"""https://www.w3.org/TR/trace-context/#sampled-flag"""
_CONTEXT_HAS_IS_REMOTE: Final = 0x100
"""SpanFlags: it is known that the context is not remote."""
_KIND_INTERNAL: Final = 1
_STATUS_ERROR: Final = 2
_MAX_TIME: Final = 2**64 / 1e9
"""Unix time in seconds: the limit of fixed64 ``time_unix_nano``."""
_MAX_CACHED: Final = 100
"""Length of a value in characters up to which its attribute is cached."""

_FIRST, _SECOND = delimited_tag(1), delimited_tag(2)
_SPAN_FLAGS = fixed32_tag(16) + pack_fixed32(_CONTEXT_HAS_IS_REMOTE)
_LINK_FLAGS = fixed32_tag(6) + pack_fixed32(_CONTEXT_HAS_IS_REMOTE)
_SPAN_KIND = varint_tag(6) + varint(_KIND_INTERNAL)
_SPAN_START, _SPAN_END = fixed64_tag(7), fixed64_tag(8)
_SPAN_NAME, _SPAN_ATTRIBUTE, _SPAN_EVENT = delimited_tag(5), delimited_tag(9), delimited_tag(11)
_SPAN_LINK, _SPAN_STATUS = delimited_tag(13), delimited_tag(15)
_EVENT_TIME, _EVENT_NAME, _EVENT_ATTRIBUTE = fixed64_tag(1), delimited_tag(2), delimited_tag(3)
_LINK_ATTRIBUTE = delimited_tag(4)
_STATUS_CODE = varint_tag(3) + varint(_STATUS_ERROR)
_LOG_TIME, _LOG_OBSERVED_TIME, _LOG_SEVERITY = fixed64_tag(1), fixed64_tag(11), varint_tag(2)
_LOG_SEVERITY_TEXT, _LOG_BODY, _LOG_ATTRIBUTE = delimited_tag(3), delimited_tag(5), delimited_tag(6)
_LOG_FLAGS = fixed32_tag(8) + pack_fixed32(_FLAG_SAMPLED)
_LOG_TRACE_ID, _LOG_SPAN_ID, _LOG_EVENT_NAME = delimited_tag(9), delimited_tag(10), delimited_tag(12)
_STRING, _ARRAY = delimited_tag(1), delimited_tag(5)
_BOOL, _INT, _DOUBLE = varint_tag(2), varint_tag(3), fixed64_tag(4)
_SCOPE = delimited(
    _FIRST,
    delimited(_FIRST, b"libvirt_lifecycle_exporter") + delimited(_SECOND, __version__.encode()),
)


class Encoder:
    """Encodes export items."""

    def __init__(self, resources: Mapping[str, Resource], *, span_events: bool = True) -> None:
        """``resources``: by connection; ``span_events``: whether a span has its transitions as events."""
        self._resources = resources
        self._encoded_resources = {
            id(resource): _encode_resource(resource) for resource in resources.values()
        }
        self._span_events = span_events

    def request(self, signal: str, items: Sequence[ExportItem]) -> bytes:
        """Return an OTLP request as protobuf. Raises ValueError if an item cannot be encoded."""
        by_resource: dict[int, list[bytes]] = {}
        for resource, encoded in self.log_records(items) if signal == LOGS else self.spans(items):
            by_resource.setdefault(id(resource), []).append(encoded)
        parts = []
        for resource_id, records in by_resource.items():
            scoped = _SCOPE + b"".join([delimited(_SECOND, record) for record in records])
            parts.append(delimited(_FIRST, self._encoded_resources[resource_id] + delimited(_SECOND, scoped)))
        return b"".join(parts)

    def spans(self, items: Sequence[ExportItem]) -> Iterator[tuple[Resource, bytes]]:
        """Yield the spans of items with their resources; log records are left out."""
        for item in items:
            if item.span is not None:
                yield self._resource(item.connection), self._span(item, item.span)

    def log_records(self, items: Sequence[ExportItem]) -> Iterator[tuple[Resource, bytes]]:
        """Yield the log records of items with their resources; spans are left out."""
        for item in items:
            if item.span is None:
                for row in item.rows:
                    yield self._resource(row.change.connection), _log_record(row)

    def _span(self, item: ExportItem, span: Span) -> bytes:
        errors = [row for row in item.rows if is_error(row)]
        status = b""
        if errors:
            message = errors[-1].message.encode()
            status = (delimited(_SECOND, message) if message else b"") + _STATUS_CODE
        return b"".join(
            (
                delimited(_FIRST, bytes.fromhex(span.ref.trace_id)),
                delimited(_SECOND, bytes.fromhex(span.ref.span_id)),
                delimited(_SPAN_NAME, span.name.encode()),
                _SPAN_KIND,
                _SPAN_START + pack_fixed64(_nanoseconds(span.began)),
                _SPAN_END + pack_fixed64(_nanoseconds(span.ended)),
                *[delimited(_SPAN_ATTRIBUTE, one) for one in _span_attributes(item, span, errors)],
                *[delimited(_SPAN_EVENT, _span_event(row)) for row in item.rows if self._span_events],
                *[delimited(_SPAN_LINK, _link(link)) for link in span.links],
                delimited(_SPAN_STATUS, status),
                _SPAN_FLAGS,
            )
        )

    def _resource(self, connection: str) -> Resource:
        """Return the resource of a connection.

        A connection that is no longer configured may have pending items; any resource serves for them.
        """
        return self._resources.get(connection) or next(iter(self._resources.values()))


def is_error(row: Row) -> bool:
    """Return whether a transition is an error."""
    return meaning_of(row.change).severity is Severity.ERROR


def _event_name(row: Row) -> bytes:
    """Return the name of a transition's span event and log record."""
    return f"libvirt.domain.{row.change.event}".encode()


def _attributes(row: Row) -> Iterator[bytes]:
    """Yield the attributes of a transition's span event and log record."""
    change = row.change
    yield _text("libvirt.domain.name", change.name)
    yield _text("libvirt.domain.uuid", change.uuid)
    yield _number("libvirt.domain.id", change.domain_id)
    yield _text("libvirt.connection.uri", change.connection)
    yield _text("libvirt.domain.event.reason", change.reason)
    yield _text("libvirt.domain.event.detail", change.detail)
    yield _number("libvirt.domain.event.detail_code", change.detail_code)
    yield _text("libvirt.event.source", change.source)
    yield _attribute("libvirt.event.sequence", _INT + int64(row.number))
    if row.message:
        yield _attribute("libvirt.domain.message", delimited(_STRING, row.message.encode()))
    if change.run_id:
        yield _text("libvirt.domain.run.id", change.run_id)
    if change.incident_id:
        yield _text("libvirt.incident.id", change.incident_id)
    if is_error(row):
        yield _text("error.type", _error_type(row))


def _span_attributes(item: ExportItem, span: Span, errors: Sequence[Row]) -> Iterator[bytes]:
    yield _text("libvirt.connection.uri", item.connection)
    yield _text("libvirt.domain.uuid", item.uuid)
    if item.rows:
        change = item.rows[-1].change
        yield _text("libvirt.domain.name", change.name)
        yield _number("libvirt.domain.id", change.domain_id)
        if change.run_id:
            yield _text("libvirt.domain.run.id", change.run_id)
    incidents = [row.change.incident_id for row in item.rows if row.change.incident_id]
    if incidents:
        yield _text("libvirt.incident.id", incidents[-1])
    if span.outcome:
        yield _text("libvirt.operation.outcome", span.outcome)
    if span.duration is not None:
        yield _attribute("libvirt.condition.duration", _value(span.duration))
    if errors:
        yield _text("error.type", _error_type(errors[-1]))


def _error_type(row: Row) -> str:
    return f"libvirt.domain.{row.change.event}.{row.change.reason}"


def _span_event(row: Row) -> bytes:
    return b"".join(
        (
            _EVENT_TIME + pack_fixed64(_nanoseconds(row.change.at)),
            delimited(_EVENT_NAME, _event_name(row)),
            *[delimited(_EVENT_ATTRIBUTE, one) for one in _attributes(row)],
        )
    )


def _link(link: Link) -> bytes:
    return b"".join(
        (
            delimited(_FIRST, bytes.fromhex(link.ref.trace_id)),
            delimited(_SECOND, bytes.fromhex(link.ref.span_id)),
            _link_relations(link.relations),
            _LINK_FLAGS,
        )
    )


@lru_cache(maxsize=64)
def _link_relations(relations: tuple[str, ...]) -> bytes:
    return delimited(_LINK_ATTRIBUTE, _attribute("libvirt.link.relations", _value(relations)))


def _log_record(row: Row) -> bytes:
    change = row.change
    at = pack_fixed64(_nanoseconds(change.at))
    number, text = _SEVERITIES[meaning_of(change).severity]
    body = row.message or f"{change.name}: {change.event} ({change.reason})"
    return b"".join(
        (
            _LOG_TIME + at,
            _LOG_SEVERITY + varint(number),
            delimited(_LOG_SEVERITY_TEXT, text),
            delimited(_LOG_BODY, delimited(_STRING, body.encode())),
            *[delimited(_LOG_ATTRIBUTE, one) for one in _attributes(row)],
            _LOG_FLAGS,
            delimited(_LOG_TRACE_ID, bytes.fromhex(row.ref.trace_id)),
            delimited(_LOG_SPAN_ID, bytes.fromhex(row.ref.span_id)),
            _LOG_OBSERVED_TIME + at,
            delimited(_LOG_EVENT_NAME, _event_name(row)),
        )
    )


def _encode_resource(resource: Resource) -> bytes:
    attributes = [
        delimited(_FIRST, _attribute(key, _value(value))) for key, value in resource.attributes.items()
    ]
    return delimited(_FIRST, b"".join(attributes))


def _text(key: str, value: str) -> bytes:
    """Return an attribute with a string; most of them occur again and again."""
    return _cached_text(key, value) if len(value) <= _MAX_CACHED else _attribute(key, _value(value))


@lru_cache(maxsize=8192)
def _cached_text(key: str, value: str) -> bytes:
    return _attribute(key, _value(value))


@lru_cache(maxsize=1024)
def _number(key: str, value: int) -> bytes:
    """Return an attribute with a small integer."""
    return _attribute(key, _value(value))


def _attribute(key: str, encoded_value: bytes) -> bytes:
    """Return a KeyValue."""
    return delimited(_FIRST, key.encode()) + delimited(_SECOND, encoded_value)


def _value(value: object) -> bytes:
    """Return an AnyValue. Raises ValueError for a type that is no attribute."""
    for kind, encode in _VALUES.items():
        if isinstance(value, kind):
            return encode(value)
    raise ValueError(f"unsupported attribute type: {type(value).__name__}")


def _sequence_value(values: Sequence[object]) -> bytes:
    return delimited(_ARRAY, b"".join([delimited(_FIRST, _value(one)) for one in values]))


_VALUES: Final[Mapping[type, Callable[..., bytes]]] = MappingProxyType(
    {
        str: lambda value: delimited(_STRING, value.encode()),
        bool: lambda value: _BOOL + varint(value),
        int: lambda value: _INT + int64(value),
        float: lambda value: _DOUBLE + pack_double(value),
        tuple: _sequence_value,
        list: _sequence_value,
    }
)
"""Type of a value -> its AnyValue. bool is an int, and so comes first."""


def _nanoseconds(at: float) -> int:
    if not 0 < at < _MAX_TIME:
        raise ValueError(f"time out of range: {at!r}")
    return int(at * 1e9)
