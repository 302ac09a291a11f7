"""How a span and a log record are spelled: names, attributes, status, severity.

Law: the same parcel gives the same bytes, whenever it is rendered; a span event and the log record of the
same transition have the same name, attributes and ids. Names are API.

A time that OpenTelemetry cannot hold (before 1970, after 2554) and a word that is no Unicode raise
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
from libvirt_lifecycle_exporter.engine.spans import Ref, Span
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
"""(event, reason) that is a failure."""
FAILURE_EVENTS: Final = frozenset({"crashed", "hung"})
"""Events that are one whatever the reason."""

_SEVERITY: Final[Mapping[bool, tuple[SeverityNumber, str]]] = MappingProxyType(
    {False: (SeverityNumber.INFO, "INFO"), True: (SeverityNumber.ERROR, "ERROR")}
)
_LATEST: Final = 2**64 / 1e9
"""Seconds, https://github.com/open-telemetry/opentelemetry-proto: fixed64 time_unix_nano"""


class Encoder:
    """Spells parcels."""

    def __init__(self, resources: Mapping[str, Resource], *, span_events: bool = True) -> None:
        """``span_events``: whether transitions are told as span events, too, or as log records alone."""
        self._resources = resources
        self._span_events = span_events

    def request(self, signal: str, parcels: Sequence[ExportItem]) -> bytes:
        """Spell an OTLP request, as protobuf. Raises ValueError for what cannot be spelled."""
        encoded = encode_logs(self.logs(parcels)) if signal == LOGS else encode_spans(self.spans(parcels))
        return bytes(encoded.SerializeToString(deterministic=True))

    def spans(self, parcels: Sequence[ExportItem]) -> list[ReadableSpan]:
        """Spell spans."""
        return [self._span(parcel, parcel.span) for parcel in parcels if parcel.span is not None]

    def logs(self, parcels: Sequence[ExportItem]) -> list[ReadableLogRecord]:
        """Spell log records."""
        return [self._log(row) for parcel in parcels for row in parcel.rows if parcel.span is None]

    def _span(self, parcel: ExportItem, span: Span) -> ReadableSpan:
        failed = [row for row in parcel.rows if is_failure(row)]
        status = Status(StatusCode.ERROR, failed[-1].message or None) if failed else Status(StatusCode.UNSET)
        return ReadableSpan(
            name=span.name,
            context=_context(span.ref),
            resource=self._resource(parcel.connection),
            attributes=dict(_of_span(parcel, span, failed)),
            events=[_event(row) for row in parcel.rows] if self._span_events else [],
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
            body=_clean(row.message or f"{change.name}: {change.event} ({change.reason})"),
            attributes=attributes(row),
            event_name=event_name(row),
        )
        return ReadableLogRecord(record, self._resource(change.connection), SCOPE)

    def _resource(self, connection: str) -> Resource:
        """A connection that is no longer watched has something left to be sent, too."""
        return self._resources.get(connection) or next(iter(self._resources.values()))


def is_failure(row: Row) -> bool:
    """Tell whether a transition is a failure."""
    return row.change.event in FAILURE_EVENTS or (row.change.event, row.change.reason) in FAILURES


def event_name(row: Row) -> str:
    """Name a transition."""
    return f"libvirt.domain.{row.change.event}"


def attributes(row: Row) -> Attributes:
    """Say everything about a transition; the same in span event and log record."""
    change = row.change
    found: dict[str, AttributeValue] = {
        "libvirt.domain.name": _clean(change.name),
        "libvirt.domain.uuid": _clean(change.uuid),
        "libvirt.domain.id": change.domain_id,
        "libvirt.connection.uri": change.connection,
        "libvirt.domain.event.reason": _clean(change.reason),
        "libvirt.domain.event.detail": _clean(change.detail),
        "libvirt.domain.event.detail_code": change.detail_code,
        "libvirt.event.source": change.source,
        "libvirt.event.sequence": row.number,
    }
    if row.message:
        found["libvirt.domain.message"] = _clean(row.message)
    if change.run_id:
        found["libvirt.domain.run.id"] = change.run_id
    if change.incident_id:
        found["libvirt.incident.id"] = change.incident_id
    if is_failure(row):
        found["error.type"] = _error_type(row)
    return found


def _of_span(parcel: ExportItem, span: Span, failed: Sequence[Row]) -> Iterator[tuple[str, AttributeValue]]:
    yield "libvirt.connection.uri", parcel.connection
    yield "libvirt.domain.uuid", _clean(parcel.uuid)
    if parcel.rows:
        change = parcel.rows[-1].change
        yield "libvirt.domain.name", _clean(change.name)
        yield "libvirt.domain.id", change.domain_id
        if change.run_id:
            yield "libvirt.domain.run.id", change.run_id
    incidents = [row.change.incident_id for row in parcel.rows if row.change.incident_id]
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


def _event(row: Row) -> Event:
    return Event(event_name(row), attributes(row), _nanoseconds(row.change.at))


def _context(ref: Ref) -> SpanContext:
    return SpanContext(
        int(ref.trace_id, 16),
        int(ref.span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _clean(text: str) -> str:
    """Raise ValueError (UnicodeEncodeError) here, where the encoder would leave the attribute out instead."""
    if not text.isascii():
        text.encode()
    return text


def _nanoseconds(at: float) -> int:
    if not 0 < at < _LATEST:
        raise ValueError(f"{at!r} is no time that can be sent")
    return int(at * 1e9)
