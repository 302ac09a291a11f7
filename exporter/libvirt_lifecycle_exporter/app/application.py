"""The composition root: builds all parts from the settings, starts them and stops them."""

import logging
import socket
import threading
import time
from collections.abc import Sequence
from types import FrameType

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.app.probes import create_probes
from libvirt_lifecycle_exporter.app.telemetry import create_delivery, create_span_recorder, exported_signals
from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.config.settings import Settings, resolve_journal_path
from libvirt_lifecycle_exporter.engine.coverage import Grace
from libvirt_lifecycle_exporter.engine.hang_signals import HangThresholds
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.connection import Connection, ConnectionSettings
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP, libvirt_version
from libvirt_lifecycle_exporter.hypervisor.host import LocalHost
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import OpenLimits
from libvirt_lifecycle_exporter.journal.disabled import DisabledJournal
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.journal.run_scope import RunScope
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.metrics.self_metrics import (
    ExporterCollector,
    probe_duration_histogram,
    registry,
)
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.runtime import heap
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.threads import Deadline
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.metrics_endpoint import create_metrics_endpoint
from libvirt_lifecycle_exporter.web.routes import create_application
from libvirt_lifecycle_exporter.web.server import Server

log = logging.getLogger(__name__)

_STALLED = 30.0
"""Seconds without a heartbeat after which the event loop counts as stalled."""
_SIGNAL_CHECK_INTERVAL = 0.25
"""Seconds between checks for a signal."""
_RELEASE_INTERVAL = 60.0
"""Seconds after which unused memory is returned to the kernel."""
_STOP_WITHIN = 1.7
"""Seconds from the signal until all parts have ended or are abandoned: the process must end within 2 s."""


class App:
    """The running exporter."""

    def __init__(
        self, settings: Settings, sockets: list[socket.socket], access: AccessControl | None = None
    ) -> None:
        """Build all parts. ``access``: the web configuration; None: no TLS and no users."""
        access = access or AccessControl()
        self._server_ended = threading.Event()
        self._stop_requested_at: float | None = None
        """When a stop was requested; monotonic, seconds. None: it was not."""
        self.threads = access.threads
        self._reload_requested = False
        self._access = access
        self._clock = ClockMonitor(boot_id=LocalHost().boot_id())
        self._message_queue = MessageQueue(settings.queue_size)
        labels = tuple(target.label for target in settings.targets)
        self._metrics = MetricsStore(labels, settings.hang_signals, has_state_set=settings.metrics_state_set)
        series = SeriesLimit(
            settings.series_limit,
            settings.series_ttl,
            settings.hang_signals,
            has_state_set=settings.metrics_state_set,
        )
        connection_settings = ConnectionSettings(
            keepalive_interval=int(settings.keepalive_interval),
            keepalive_count=settings.keepalive_count,
            max_reconnect_delay=settings.reconnect_max_delay,
            listing_interval=settings.snapshot_interval,
            log_dir=settings.log_dir,
            opening=OpenLimits(timeout=settings.connect_timeout),
        )
        self._connections = [
            Connection(
                target.label, target.uri, self._message_queue, connection_settings, threads=self.threads
            )
            for target in settings.targets
        ]
        names = DomainFilter(settings.domain_include, settings.domain_exclude)
        probe_duration = probe_duration_histogram()
        self._probes = [
            probe
            for target, connection in zip(settings.targets, self._connections, strict=True)
            for probe in create_probes(
                target.uri,
                connection,
                self._message_queue,
                probe_duration.labels,
                passes=names.passes,
                settings=settings,
                threads=self.threads,
            )
        ]
        file = resolve_journal_path(settings.journal_path)
        span_recorder = create_span_recorder(settings, self.threads)
        self._journal = (
            Journal(file, RunScope(labels, names), span_recorder, self.threads) if file else DisabledJournal()
        )
        self._maintenance = self._delivery = None
        if isinstance(self._journal, Journal):
            self._maintenance = JournalMaintenance(
                self._journal,
                max_age=settings.journal_retention,
                max_bytes=settings.journal_retention_size,
                threads=self.threads,
                signals=exported_signals(settings),
                removal_time=self._clock.removal_time,
            )
            if span_recorder:
                self._delivery = create_delivery(
                    settings,
                    self._journal,
                    span_recorder,
                    self.threads,
                    removal_time=self._clock.removal_time,
                    is_worker_busy=self._message_queue.is_long,
                )
        self._worker = Worker(
            self._message_queue,
            self._metrics,
            self._journal,
            {connection.label: connection for connection in self._connections},
            names,
            series=series,
            series_ttl=settings.series_ttl,
            loop_iterations=LOOP.heartbeats,
            clock_monitor=self._clock,
            thresholds=HangThresholds(
                settings.hang_emulator_threshold, settings.hang_watchdog_recovery, settings.hang_vcpu_window
            ),
            threads=self.threads,
            grace=Grace(settings.unknown_after),
        )
        own, duration = registry(
            ExporterCollector(
                self._message_queue,
                self._metrics,
                series,
                self._journal,
                heartbeat=LOOP.heartbeat,
                libvirt_version=libvirt_version(),
                senders=self._delivery.senders if self._delivery else (),
                web=access,
                threads=self.threads,
                clock=self._clock,
            ),
            probe_duration,
        )
        self._server = Server(
            create_application(create_metrics_endpoint(self._metrics, own, duration), self, __version__),
            sockets,
            on_end=self._server_ended.set,
            access=access,
            threads=self.threads,
        )

    def unhealthy_reason(self) -> str | None:
        """Return what is wrong with the process, in one sentence; None if nothing is."""
        if not self._worker.is_alive():
            return "the worker has ended"
        ended = self.threads.ended()
        if ended:
            return f"thread {ended[0]} has ended"
        silence = LOOP.heartbeat_age()
        return f"the libvirt event loop has not turned for {silence:.0f} s" if silence > _STALLED else None

    def is_ready(self) -> bool:
        """Return whether at least one connection has been listed."""
        return self._worker.is_ready()

    def down_connections(self) -> list[str]:
        """Return the names of the connections that are down."""
        return self._worker.down_connections()

    def status(self) -> str:
        """Return the status in one line."""
        down = self.down_connections()
        if down:
            return f"receiving events; connections down: {', '.join(down)}"
        return "receiving events" if self.is_ready() else "no domains listed yet"

    def transition_count(self, connection: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many transitions of these (event, reason) pairs were counted on a connection."""
        return self._metrics.total(connection, pairs)

    def start(self) -> None:
        """Start all parts: consumers before producers."""
        LOOP.start(self.threads)
        self._worker.restore(self._journal.restore())
        self._worker.start()
        if self._maintenance is not None:
            self._maintenance.start()
        if self._delivery is not None:
            self._delivery.start()
        self._server.start()
        for connection in self._connections:
            connection.start()
        for probe in self._probes:
            probe.start()

    def wait(self) -> None:
        """Wait until a stop is requested or the web server has ended."""
        # With a time limit: a signal right before the wait does not interrupt it.
        release_at = time.monotonic()
        while self._stop_requested_at is None and not self._server_ended.wait(_SIGNAL_CHECK_INTERVAL):
            if time.monotonic() >= release_at:
                heap.release_unused()
                release_at = time.monotonic() + _RELEASE_INTERVAL
            if self._reload_requested:
                self._reload_requested = False
                self._access.reload()

    def ask_to_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Request a stop. Safe in a signal handler: it takes no lock."""
        self._stop_requested_at = time.monotonic()

    def ask_to_reload(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Request a reload of the web configuration. Safe in a signal handler."""
        self._reload_requested = True

    def stop(self) -> None:
        """Stop all parts, in the order in which data flows, before one common deadline.

        A part that does not stop in its share of the time is abandoned. The worker gets the largest share: it
        processes what is queued.
        """
        deadline = Deadline(self._stop_requested_at or time.monotonic(), _STOP_WITHIN)
        for probe in self._probes:
            probe.stop()
        for connection in self._connections:
            connection.stop()
        close_by = time.monotonic() + deadline.share(0.25)
        for connection in self._connections:
            if not connection.join(max(0.0, close_by - time.monotonic())):
                log.info(
                    "connection did not close in time; abandoned", extra={"connection": connection.label}
                )
        self._worker.stop(deadline.share(0.5))
        if self._delivery is not None:
            self._delivery.stop(deadline.share(0.5))
        if self._maintenance is not None:
            self._maintenance.stop(deadline.share(0.5))
        # SQLite waits for the disk when it closes; committed transactions are safe without that.
        closing = threading.Thread(target=self._journal.close, name="journal-close", daemon=True)
        closing.start()
        closing.join(deadline.share(0.5))
        self._server.stop(deadline.share(1.0))
