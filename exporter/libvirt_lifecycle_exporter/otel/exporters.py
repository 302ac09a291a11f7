"""Exporters of items: as OTLP requests over a transport, or as JSON lines on standard output."""

import datetime as dt
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1 import trace_pb2 as trace
from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter.journal.export_items import LOGS, ExportItem
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.interfaces import ItemExporter, Transport
from libvirt_lifecycle_exporter.otel.responses import ACCEPTED, ExportResult, ExportStatus


class OtlpExporter:
    """Encodes items as protobuf and sends them over a transport."""

    def __init__(self, signal: str, encoder: Encoder, transport: Transport) -> None:
        self._signal = signal
        self._encoder = encoder
        self._transport = transport

    def export(self, items: Sequence[ExportItem]) -> ExportResult:
        try:
            payload = self._encoder.request(self._signal, items)
        except Exception as error:  # noqa: BLE001 - any error of the encoder would repeat itself
            return ExportResult(ExportStatus.UNENCODABLE, str(error))
        return self._transport.send(payload)

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()


class ConsoleExporter:
    """Prints spans or log records on standard output, one JSON object per line."""

    def __init__(self, signal: str, encoder: Encoder) -> None:
        self._signal = signal
        self._encoder = encoder

    def export(self, items: Sequence[ExportItem]) -> ExportResult:
        ensure_ascii = not (sys.stdout.encoding or "").lower().startswith("utf")
        try:
            records = (
                [_log_record_fields(*one) for one in self._encoder.log_records(items)]
                if self._signal == LOGS
                else [_span_fields(*one) for one in self._encoder.spans(items)]
            )
            lines = [json.dumps(record, ensure_ascii=ensure_ascii) for record in records]
        except ValueError as error:
            return ExportResult(ExportStatus.UNENCODABLE, str(error))
        try:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        except OSError as error:
            return ExportResult(ExportStatus.RETRY, str(error))
        return ACCEPTED

    def abort(self) -> None:
        """Do nothing: a write to standard output is short."""

    def close(self) -> None:
        """Do nothing: standard output stays open."""


class TeeExporter:
    """Exports items, and prints on the console what the receiver accepted."""

    def __init__(self, exporter: ItemExporter, console: ConsoleExporter) -> None:
        self._exporter = exporter
        self._console = console

    def export(self, items: Sequence[ExportItem]) -> ExportResult:
        result = self._exporter.export(items)
        if result.status is ExportStatus.DELIVERED:
            self._console.export(items)
        return result

    def abort(self) -> None:
        self._exporter.abort()

    def close(self) -> None:
        self._exporter.close()


def _span_fields(resource: Resource, encoded: bytes) -> dict[str, Any]:
    """Return a span in the format of the SDK's console exporter."""
    span = trace.Span.FromString(encoded)
    status = {"status_code": trace.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_")}
    if span.status.message:
        status["description"] = span.status.message
    return {
        "name": span.name,
        "context": _context(span),
        "kind": "SpanKind.INTERNAL",
        "parent_id": None,
        "start_time": _format_time(span.start_time_unix_nano),
        "end_time": _format_time(span.end_time_unix_nano),
        "status": status,
        "attributes": _decode(span.attributes),
        "events": [
            {
                "name": event.name,
                "timestamp": _format_time(event.time_unix_nano),
                "attributes": _decode(event.attributes),
            }
            for event in span.events
        ],
        "links": [{"context": _context(link), "attributes": _decode(link.attributes)} for link in span.links],
        "resource": _resource_fields(resource),
    }


def _log_record_fields(resource: Resource, encoded: bytes) -> dict[str, Any]:
    """Return a log record in the format of the SDK's console exporter."""
    record = LogRecord.FromString(encoded)
    at = _format_time(record.time_unix_nano)
    return {
        "body": record.body.string_value,
        "severity_number": record.severity_number,
        "severity_text": record.severity_text,
        "attributes": _decode(record.attributes),
        "dropped_attributes": 0,
        "timestamp": at,
        "observed_timestamp": at,
        "trace_id": f"0x{record.trace_id.hex()}",
        "span_id": f"0x{record.span_id.hex()}",
        "trace_flags": record.flags,
        "resource": _resource_fields(resource),
        "event_name": record.event_name,
    }


def _context(span: trace.Span | trace.Span.Link) -> dict[str, str]:
    return {
        "trace_id": f"0x{span.trace_id.hex()}",
        "span_id": f"0x{span.span_id.hex()}",
        "trace_state": "[]",
    }


def _resource_fields(resource: Resource) -> dict[str, Any]:
    return {"attributes": dict(resource.attributes), "schema_url": resource.schema_url}


def _decode(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _decode_value(attribute.value) for attribute in attributes}


def _decode_value(value: AnyValue) -> Any:  # noqa: ANN401 - JSON
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_decode_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None


def _format_time(nanoseconds: int) -> str:
    """Return the time in RFC 3339 with microseconds."""
    return f"{dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
