"""Builds the OpenTelemetry export from the settings. Imports ``otel`` only if something is exported."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import read_host_id
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES
from libvirt_lifecycle_exporter.journal.export_queue import ExportQueue
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry

if TYPE_CHECKING:
    from libvirt_lifecycle_exporter.otel.delivery import Delivery


def create_span_recorder(settings: Settings, threads: ThreadRegistry) -> SpanRecorder | None:
    """Create the span recorder of the journal; None if no signal is exported."""
    signals = exported_signals(settings)
    if not signals:
        return None
    return SpanRecorder(
        read_host_id(),
        traces=TRACES in signals,
        logs=LOGS in signals,
        runs=settings.otel_run_spans,
        threads=threads,
    )


def create_delivery(
    settings: Settings,
    journal: Journal,
    recorder: SpanRecorder,
    threads: ThreadRegistry,
    *,
    removal_time: Callable[[], float],
    is_worker_busy: Callable[[], bool],
) -> "Delivery":
    """Create the senders, and have the journal notify them of new items.

    ``removal_time``, ``is_worker_busy``: see ``SignalSender``. Raises OSError if a certificate or a key
    cannot be used.
    """
    from libvirt_lifecycle_exporter.otel.delivery import Delivery  # noqa: PLC0415 - only if used

    delivery = Delivery(
        settings.telemetry,
        ExportQueue(journal, recorder, threads),
        {target.label: target.uri for target in settings.targets},
        read_host_id(),
        span_events=settings.otel_events != "log",
        signals=exported_signals(settings),
        max_age=settings.otel_max_age,
        rate=settings.otel_catch_up_rate,
        removal_time=removal_time,
        is_worker_busy=is_worker_busy,
        threads=threads,
    )
    journal.on_append = delivery.wake
    return delivery


def exported_signals(settings: Settings) -> list[str]:
    """Return the signals that are sent to an endpoint or printed on the console."""
    enabled = [TRACES] if settings.otel_events == "span" else [TRACES, LOGS]
    return [
        signal
        for signal in enabled
        if settings.telemetry.endpoint(signal) is not None or signal in settings.telemetry.console_signals
    ]
