"""The exporter's own metrics (``libvirt_lifecycle_exporter_*``), read from its parts at each scrape."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.journal.export_items import SIGNALS
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry

PREFIX = "libvirt_lifecycle_exporter"


_PROBE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SCRAPE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class QueueStatistics(Protocol):
    """Statistics of the message queue."""

    @property
    def received(self) -> Mapping[str, int]: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...
    def depth(self) -> int: ...


class JournalStatistics(Protocol):
    """What the journal says about itself."""

    events: int
    errors: int

    @property
    def disabled_dropped(self) -> Mapping[str, int]: ...
    def size(self) -> int: ...


class SenderStatistics(Protocol):
    """What the deliveries of one signal say about themselves."""

    signal: str
    pending: int
    oldest: float
    failures: int

    @property
    def dropped(self) -> Mapping[str, int]: ...
    @property
    def exported(self) -> int: ...


class WebStatistics(Protocol):
    """What the web configuration says about itself."""

    reload_error: str
    reloaded_at: float | None

    @property
    def refused(self) -> Mapping[str, int]: ...


class ExporterCollector(Collector):
    """What the exporter says about itself."""

    def __init__(
        self,
        message_queue: QueueStatistics,
        store: MetricsStore,
        series: SeriesLimit,
        journal: JournalStatistics,
        *,
        heartbeat: Callable[[], float],
        libvirt_version: str,
        web: WebStatistics,
        threads: ThreadRegistry,
        clock: ClockMonitor,
        senders: Sequence[SenderStatistics] = (),
    ) -> None:
        """``heartbeat``: when the libvirt event loop last turned; Unix time, seconds."""
        self._message_queue = message_queue
        self._store = store
        self._series = series
        self._journal = journal
        self._senders = senders
        self._web = web
        self._threads = threads
        self._clock = clock
        self._heartbeat = heartbeat
        self._libvirt_version = libvirt_version

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            f"{PREFIX}_build_info",
            "Always 1. Versions of the exporter, Python and the libvirt library.",
            labels=["version", "python_version", "libvirt_version"],
        )
        build.add_metric([__version__, platform.python_version(), self._libvirt_version], 1)
        yield build
        received = CounterMetricFamily(
            f"{PREFIX}_events_received",
            "Total number of libvirt callbacks received, by libvirt's event id.",
            labels=["source"],
        )
        for source, count in dict(self._message_queue.received).items():
            received.add_metric([source], count)
        yield received
        dropped = CounterMetricFamily(
            f"{PREFIX}_events_dropped",
            "Total number of libvirt events lost inside the exporter. Each loss triggers a new listing.",
            labels=["cause"],
        )
        for cause, count in dict(self._message_queue.dropped).items():
            dropped.add_metric([cause], count)
        yield dropped
        errors = CounterMetricFamily(
            f"{PREFIX}_thread_errors",
            "Total number of unexpected exceptions that a thread of the exporter recovered from.",
            labels=["thread"],
        )
        for role, count in dict(self._threads.errors).items():
            errors.add_metric([role], count)
        yield errors
        yield CounterMetricFamily(
            f"{PREFIX}_clock_jumps",
            "Total number of jumps of the wall clock by more than 2 seconds.",
            value=self._clock.jumps,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_queue_depth",
            "Number of messages in the queue to the worker.",
            value=self._message_queue.depth(),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_event_loop_heartbeat_timestamp_seconds",
            "Unix timestamp of the last iteration of the libvirt event loop.",
            value=self._heartbeat(),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_journal_events", "Number of transitions in the journal.", value=self._journal.events
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_journal_bytes", "Size of the journal on disk in bytes.", value=self._journal.size()
        )
        yield CounterMetricFamily(
            f"{PREFIX}_journal_errors",
            "Total number of failed journal operations and of rows that are missing in the journal.",
            value=self._journal.errors,
        )
        yield from self._deliveries()
        yield from self._web_configuration()
        yield GaugeMetricFamily(f"{PREFIX}_series", "Number of domain series.", value=self._store.series)
        yield CounterMetricFamily(
            f"{PREFIX}_series_limited",
            "Total number of domains, and of event and reason pairs of domains, without series of their own "
            'because of --series.limit. Their transitions are counted under domain="_other".',
            value=self._series.refused,
        )

    def _web_configuration(self) -> Iterator[Metric]:
        at = self._web.reloaded_at
        yield GaugeMetricFamily(
            f"{PREFIX}_web_config_last_reload_successful",
            "Whether the last load of --web.config.file succeeded (1 = yes). Absent without that flag.",
            value=None if at is None else not self._web.reload_error,
        )
        yield GaugeMetricFamily(
            f"{PREFIX}_web_config_last_reload_success_timestamp_seconds",
            "Unix timestamp of the last successful load of --web.config.file.",
            value=at,
        )
        refused = CounterMetricFamily(
            f"{PREFIX}_web_refused",
            "Total number of connections and requests that the web server refused, by cause.",
            labels=["cause"],
        )
        for cause, count in dict(self._web.refused).items():
            refused.add_metric([cause], count)
        yield refused

    def _deliveries(self) -> Iterator[Metric]:
        pending = GaugeMetricFamily(
            f"{PREFIX}_otlp_pending",
            "Number of spans or log records waiting for delivery over OTLP.",
            labels=["signal"],
        )
        oldest = GaugeMetricFamily(
            f"{PREFIX}_otlp_oldest_pending_timestamp_seconds",
            "Unix timestamp of the oldest span or log record waiting for delivery; 0 if there is none.",
            labels=["signal"],
        )
        exported = CounterMetricFamily(
            f"{PREFIX}_otlp_exported",
            "Total number of spans or log records that the receiver accepted.",
            labels=["signal"],
        )
        dropped = CounterMetricFamily(
            f"{PREFIX}_otlp_dropped",
            "Total number of spans or log records that were dropped, by cause.",
            labels=["signal", "cause"],
        )
        errors = CounterMetricFamily(
            f"{PREFIX}_sink_errors",
            "Total number of failed delivery attempts that were retried.",
            labels=["sink"],
        )
        for sender in self._senders:
            pending.add_metric([sender.signal], sender.pending)
            oldest.add_metric([sender.signal], sender.oldest)
            exported.add_metric([sender.signal], sender.exported)
            for cause, count in dict(sender.dropped).items():
                dropped.add_metric([sender.signal, cause], count)
            errors.add_metric([f"otlp_{sender.signal}"], sender.failures)
        enabled = {sender.signal for sender in self._senders}
        for signal in SIGNALS:
            if (enabled and signal not in enabled) or signal in self._journal.disabled_dropped:
                dropped.add_metric([signal, "disabled"], self._journal.disabled_dropped.get(signal, 0))
        yield from (pending, oldest, exported, dropped, errors)


def probe_duration_histogram() -> Histogram:
    """Return the histogram of probe durations; each probe takes its labelled child when it is created."""
    return Histogram(
        f"{PREFIX}_probe_duration_seconds",
        "Duration of one round of hang probes over all domains of a connection in seconds.",
        labelnames=("connection", "signal"),
        registry=None,
        buckets=_PROBE_BUCKETS,
    )


def registry(collector: ExporterCollector, probe_duration: Histogram) -> tuple[CollectorRegistry, Histogram]:
    """Build the registry of everything that is not about libvirt; return it and the scrape duration in it."""
    disable_created_metrics()
    made = CollectorRegistry(auto_describe=False)
    made.register(collector)
    made.register(probe_duration)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    duration = Histogram(
        f"{PREFIX}_scrape_duration_seconds",
        "Duration of rendering /metrics in seconds.",
        registry=made,
        buckets=_SCRAPE_BUCKETS,
    )
    return made, duration
