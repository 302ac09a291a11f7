"""Builds and runs the senders of both signals."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter.config.telemetry import GRPC, Endpoint, Telemetry
from libvirt_lifecycle_exporter.journal.export_items import SIGNALS
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.exporters import ConsoleExporter, OtlpExporter, TeeExporter
from libvirt_lifecycle_exporter.otel.http_transport import HttpTransport
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, ItemExporter, Transport
from libvirt_lifecycle_exporter.otel.resource import build_resources
from libvirt_lifecycle_exporter.otel.responses import ExportResult
from libvirt_lifecycle_exporter.otel.sender import SignalSender
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry


class Delivery:
    """The senders of the configured signals."""

    def __init__(
        self,
        telemetry: Telemetry,
        queue: ExportQueue,
        connections: Mapping[str, str],
        host_id: str,
        *,
        span_events: bool,
        signals: Sequence[str] = SIGNALS,
        max_age: float,
        rate: float,
        clock: Callable[[], float] = time.time,
        removal_time: Callable[[], float] | None = None,
        is_worker_busy: Callable[[], bool] = lambda: False,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """Create the senders of ``signals`` that have an endpoint or the console.

        ``connections``: label -> libvirt URI; ``span_events``: see ``Encoder``; ``max_age``, ``rate``,
        ``clock``, ``removal_time`` and ``is_worker_busy``: see ``SignalSender``. Raises OSError if a
        certificate or a key cannot be used.
        """
        encoder = Encoder(build_resources(connections, host_id), span_events=span_events)
        self.senders = [
            SignalSender(
                signal,
                queue,
                exporter,
                max_age=max_age,
                rate=rate,
                clock=clock,
                removal_time=removal_time,
                is_worker_busy=is_worker_busy,
                threads=threads,
            )
            for signal in signals
            if (exporter := _create_exporter(telemetry, signal, encoder)) is not None
        ]

    def start(self) -> None:
        """Start the senders' threads."""
        for sender in self.senders:
            sender.start()

    def wake(self) -> None:
        """Notify the senders of new items. May be called from any thread."""
        for sender in self.senders:
            sender.wake()

    def stop(self, timeout: float) -> None:
        """Stop the senders within ``timeout`` seconds; a thread that does not end in time is abandoned."""
        deadline = time.monotonic() + timeout
        stopping = [
            threading.Thread(target=sender.stop, args=(timeout,), name="otlp-stop", daemon=True)
            for sender in self.senders
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(max(0.0, deadline - time.monotonic()))


def send_empty_request(signal: str, endpoint: Endpoint) -> ExportResult:
    """Send an empty request to an endpoint and return the result.

    Raises OSError if a certificate or a key cannot be used.
    """
    exporter = OtlpExporter(signal, Encoder({"": Resource.get_empty()}), create_transport(signal, endpoint))
    try:
        return exporter.export(())
    finally:
        exporter.close()


def create_transport(signal: str, endpoint: Endpoint) -> Transport:
    """Create the transport for an endpoint. Raises OSError if a certificate or a key cannot be used."""
    if endpoint.protocol != GRPC:
        return HttpTransport(signal, endpoint)
    # grpcio is an optional dependency.
    from libvirt_lifecycle_exporter.otel.grpc_transport import GrpcTransport  # noqa: PLC0415

    return GrpcTransport(signal, endpoint)


def _create_exporter(telemetry: Telemetry, signal: str, encoder: Encoder) -> ItemExporter | None:
    console = ConsoleExporter(signal, encoder) if signal in telemetry.console_signals else None
    endpoint = telemetry.endpoint(signal)
    if endpoint is None:
        return console
    otlp = OtlpExporter(signal, encoder, create_transport(signal, endpoint))
    return otlp if console is None else TeeExporter(otlp, console)
