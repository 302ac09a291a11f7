"""What OpenTelemetry needs, built from the settings; nothing of it is imported unless something is to be
sent.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import host_id
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry

if TYPE_CHECKING:
    from libvirt_lifecycle_exporter.otel.delivery import Delivery


def tracing_of(settings: Settings, threads: ThreadRegistry) -> SpanRecorder | None:
    """Say what is traced; None where nothing is to be sent."""
    signals = signals_of(settings)
    if not signals:
        return None
    return SpanRecorder(
        host_id(),
        traces=TRACES in signals,
        logs=LOGS in signals,
        runs=settings.otel_run_spans,
        threads=threads,
    )


def delivery_of(
    settings: Settings,
    journal: Journal,
    tracing: SpanRecorder,
    threads: ThreadRegistry,
    removal_time: Callable[[], float],
) -> "Delivery":
    """Build the senders. Raises OSError where a certificate or a key cannot be used."""
    from libvirt_lifecycle_exporter.otel.delivery import Delivery  # noqa: PLC0415 - only if it is wanted

    delivery = Delivery(
        settings.telemetry,
        ExportQueue(journal, tracing, threads),
        {target.label: target.uri for target in settings.targets},
        host_id(),
        span_events=settings.otel_events != "log",
        signals=signals_of(settings),
        max_age=settings.otel_max_age,
        rate=settings.otel_catch_up_rate,
        removal_time=removal_time,
        threads=threads,
    )
    journal.on_append = delivery.wake
    return delivery


def signals_of(settings: Settings) -> list[str]:
    """Name the signals that go anywhere."""
    wanted = [TRACES] if settings.otel_events == "span" else [TRACES, LOGS]
    return [
        signal
        for signal in wanted
        if settings.telemetry.of(signal) is not None or signal in settings.telemetry.consoles
    ]
