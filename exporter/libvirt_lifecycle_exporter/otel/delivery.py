"""Both signals: where they go, and the senders that take them there."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter.config.telemetry import GRPC, Endpoint, Telemetry
from libvirt_lifecycle_exporter.journal.export_items import SIGNALS, ExportItem
from libvirt_lifecycle_exporter.otel.console import Console
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.http_transport import HttpTransport
from libvirt_lifecycle_exporter.otel.interfaces import ExportQueue, Transport, Wire
from libvirt_lifecycle_exporter.otel.resource import resources
from libvirt_lifecycle_exporter.otel.responses import Answer, Verdict
from libvirt_lifecycle_exporter.otel.sender import SignalSender
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry


class Encoded:
    """Parcels, spelled as protobuf, over a transport."""

    def __init__(self, signal: str, rendering: Encoder, transport: Transport) -> None:
        self._signal = signal
        self._rendering = rendering
        self._transport = transport

    def send(self, parcels: Sequence[ExportItem]) -> Answer:
        try:
            payload = self._rendering.request(self._signal, parcels)
        except Exception as error:  # noqa: BLE001 - whatever it is, it would fail again
            return Answer(Verdict.UNENCODABLE, str(error))
        return self._transport.send(payload)

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        self._transport.close()


class Printed:
    """Prints what a receiver has accepted."""

    def __init__(self, wire: Wire, console: Console) -> None:
        self._wire = wire
        self._console = console

    def send(self, parcels: Sequence[ExportItem]) -> Answer:
        answer = self._wire.send(parcels)
        if answer.verdict is Verdict.DELIVERED:
            self._console.send(parcels)
        return answer

    def abort(self) -> None:
        self._wire.abort()

    def close(self) -> None:
        self._wire.close()


class Delivery:
    """The senders."""

    def __init__(
        self,
        telemetry: Telemetry,
        outbox: ExportQueue,
        connections: Mapping[str, str],
        host: str,
        *,
        span_events: bool,
        signals: Sequence[str] = SIGNALS,
        max_age: float,
        rate: float,
        clock: Callable[[], float] = time.time,
        removal_time: Callable[[], float] | None = None,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``connections``: label -> URI; ``host``: this host's id; ``signals``: those that are wanted at all.

        Raises OSError where a certificate or a key cannot be used.
        """
        rendering = Encoder(resources(connections, host), span_events=span_events)
        self.couriers = [
            SignalSender(
                signal,
                outbox,
                wire,
                max_age=max_age,
                rate=rate,
                clock=clock,
                removal_time=removal_time,
                threads=threads,
            )
            for signal in signals
            if (wire := _wire(telemetry, signal, rendering)) is not None
        ]

    def start(self) -> None:
        """Begin."""
        for sender in self.couriers:
            sender.start()

    def wake(self) -> None:
        """Say that something is pending; from any thread."""
        for sender in self.couriers:
            sender.wake()

    def stop(self, timeout: float) -> None:
        """End all of it within ``timeout`` seconds; what still hangs then is left behind."""
        deadline = time.monotonic() + timeout
        ending = [
            threading.Thread(target=sender.stop, args=(timeout,), name="otlp-stop", daemon=True)
            for sender in self.couriers
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(max(0.0, deadline - time.monotonic()))


def probe(signal: str, endpoint: Endpoint) -> Answer:
    """Ask a receiver whether it would take something of a signal, by a request that holds nothing.

    Raises OSError where a certificate or a key cannot be used.
    """
    wire = Encoded(signal, Encoder({"": Resource.get_empty()}), transport(signal, endpoint))
    try:
        return wire.send(())
    finally:
        wire.close()


def transport(signal: str, endpoint: Endpoint) -> Transport:
    """Return the way to an endpoint."""
    if endpoint.protocol != GRPC:
        return HttpTransport(signal, endpoint)
    # An extra: whoever does not use it need not have it.
    from libvirt_lifecycle_exporter.otel.grpc_transport import GrpcTransport  # noqa: PLC0415

    return GrpcTransport(signal, endpoint)


def _wire(telemetry: Telemetry, signal: str, rendering: Encoder) -> Wire | None:
    console = Console(signal, rendering) if signal in telemetry.consoles else None
    endpoint = telemetry.of(signal)
    if endpoint is None:
        return console
    sent = Encoded(signal, rendering, transport(signal, endpoint))
    return sent if console is None else Printed(sent, console)
