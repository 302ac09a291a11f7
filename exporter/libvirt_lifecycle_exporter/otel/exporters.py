"""Exporters of items: as OTLP requests over a transport, or as JSON lines on standard output."""

import json
import sys
from collections.abc import Sequence

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
        encode = self._encoder.logs if self._signal == LOGS else self._encoder.spans
        ensure_ascii = not (sys.stdout.encoding or "").lower().startswith("utf")
        try:
            lines = [
                json.dumps(json.loads(one.to_json()), ensure_ascii=ensure_ascii) for one in encode(items)
            ]
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
