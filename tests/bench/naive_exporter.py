"""The least that counts and exports lifecycle events: a callback, a counter, and a span for each event.

    python tests/bench/naive_exporter.py URI PORT

OTEL_EXPORTER_OTLP_ENDPOINT, if set, receives the spans. There is no listing, no reconnect, no history.
"""

import os
import sys
import threading
from typing import Any

import libvirt
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Counter, start_http_server

EVENTS = Counter("naive_domain_events", "Lifecycle events.", ["domain", "event", "detail"])
PROVIDER = TracerProvider(shutdown_on_exit=False)
TRACER = PROVIDER.get_tracer("naive")
if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    PROVIDER.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def on_event(_connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
    name = domain.name()
    EVENTS.labels(name, event, detail).inc()
    TRACER.start_span("event", attributes={"domain": name, "event": event, "detail": detail}).end()


def run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


if __name__ == "__main__":
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=run_event_loop, daemon=True).start()
    connection = libvirt.openReadOnly(sys.argv[1])
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
    start_http_server(int(sys.argv[2]), "127.0.0.1")
    threading.Event().wait()
