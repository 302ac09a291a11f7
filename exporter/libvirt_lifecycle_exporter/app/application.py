"""The composition root: builds the rooms from the settings, runs them, shuts them down."""

import faulthandler
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.app.telemetry import delivery_of, signals_of, tracing_of
from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.config.settings import Settings, resolve_journal_path
from libvirt_lifecycle_exporter.engine.coverage import Grace
from libvirt_lifecycle_exporter.engine.hang_signals import HangThresholds
from libvirt_lifecycle_exporter.hypervisor.connection import Connection, ConnectionSettings
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP, libvirt_version
from libvirt_lifecycle_exporter.hypervisor.host import LocalHost
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import OpenLimits
from libvirt_lifecycle_exporter.hypervisor.probe_setup import probes
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
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.socket_activation import activated_sockets
from libvirt_lifecycle_exporter.runtime.systemd import ServiceManager, Watch
from libvirt_lifecycle_exporter.runtime.threads import Deadline, ThreadRegistry
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.metrics_endpoint import endpoint
from libvirt_lifecycle_exporter.web.routes import site
from libvirt_lifecycle_exporter.web.server import Server, bind

log = logging.getLogger(__name__)

_STALLED = 30.0
"""Seconds without a heartbeat after which the event loop is taken to be stuck."""
_TURN = 0.25
"""Seconds between looks whether a signal has come."""
_STOP_WITHIN = 1.7
"""Seconds from the signal until all parts have ended or are abandoned: the process must end within 2 s."""


class App:
    """The running exporter."""

    def __init__(
        self, settings: Settings, sockets: list[socket.socket], entrance: AccessControl | None = None
    ) -> None:
        """``entrance``: None: open to all."""
        entrance = entrance or AccessControl()
        self._over = threading.Event()
        self._asked_at: float | None = None
        """When the process was asked to stop; monotonic clock, seconds. None: it was not."""
        self.threads = entrance.threads
        self._asked_to_reload = False
        self._entrance = entrance
        self._clock = ClockMonitor(boot_id=LocalHost().boot_id())
        self._inbox = MessageQueue(settings.queue_size)
        labels = tuple(target.label for target in settings.targets)
        self._sink = MetricsStore(
            labels,
            series_limit=settings.series_limit,
            series_ttl=settings.series_ttl,
            signals=settings.hang_signals,
        )
        keep = ConnectionSettings(
            keepalive_interval=int(settings.keepalive_interval),
            keepalive_count=settings.keepalive_count,
            longest_wait=settings.reconnect_max_delay,
            snapshot_interval=settings.snapshot_interval,
            log_dir=settings.log_dir,
            opening=OpenLimits(timeout=settings.connect_timeout),
        )
        self._connections = [
            Connection(target.label, target.uri, self._inbox, keep, threads=self.threads)
            for target in settings.targets
        ]
        names = DomainFilter(settings.domain_include, settings.domain_exclude)
        probe_duration = probe_duration_histogram()
        self._probes = [
            probe
            for target, connection in zip(settings.targets, self._connections, strict=True)
            for probe in probes(
                target.uri,
                connection,
                self._inbox,
                probe_duration.labels,
                passes=names.passes,
                settings=settings,
                threads=self.threads,
            )
        ]
        file = resolve_journal_path(settings.journal_path)
        tracing = tracing_of(settings, self.threads)
        self._journal = (
            Journal(file, RunScope(labels, names), tracing, self.threads) if file else DisabledJournal()
        )
        self._keeper = self._delivery = None
        if isinstance(self._journal, Journal):
            self._keeper = JournalMaintenance(
                self._journal,
                max_age=settings.journal_retention,
                max_bytes=settings.journal_retention_size,
                threads=self.threads,
                signals=signals_of(settings),
                removal_time=self._clock.removal_time,
            )
            if tracing:
                self._delivery = delivery_of(
                    settings, self._journal, tracing, self.threads, self._clock.removal_time
                )
        self._worker = Worker(
            self._inbox,
            self._sink,
            self._journal,
            {connection.label: connection for connection in self._connections},
            names,
            memory=settings.series_ttl,
            turns=LOOP.turns,
            monitor=self._clock,
            patience=HangThresholds(
                settings.hang_emulator_threshold, settings.hang_watchdog_recovery, settings.hang_vcpu_window
            ),
            threads=self.threads,
            grace=Grace(settings.unknown_after),
        )
        own, duration = registry(
            ExporterCollector(
                self._inbox,
                self._sink,
                self._journal,
                heartbeat=LOOP.heartbeat,
                libvirt_version=libvirt_version(),
                senders=self._delivery.couriers if self._delivery else (),
                web=entrance,
                threads=self.threads,
                clock=self._clock,
            ),
            probe_duration,
        )
        self._server = Server(
            site(endpoint(self._sink, own, duration), self, __version__),
            sockets,
            on_end=self._over.set,
            entrance=entrance,
            threads=self.threads,
        )

    def trouble(self) -> str | None:
        """Say what is wrong with the process itself, if anything."""
        if not self._worker.is_alive():
            return "the worker has ended"
        ended = self.threads.ended()
        if ended:
            return f"thread {ended[0]} has ended"
        silence = LOOP.silence()
        return f"the libvirt event loop has not turned for {silence:.0f} s" if silence > _STALLED else None

    def ready(self) -> bool:
        """Tell whether at least one connection has been listed."""
        return self._worker.ready()

    def down(self) -> list[str]:
        """Name the connections that are down."""
        return self._worker.down()

    def status(self) -> str:
        """Say in a line how it is."""
        down = self.down()
        if down:
            return f"listening, but not to {', '.join(down)}"
        return "listening" if self.ready() else "no domains listed yet"

    def counted(self, connection: str, pairs: Sequence[tuple[str, str]]) -> int:
        """Return how many transitions of these (event, reason) pairs were counted on a connection."""
        return self._sink.total(connection, pairs)

    def start(self) -> None:
        """Begin: first who listens, then who speaks."""
        LOOP.start(self.threads)
        self._worker.restore(self._journal.restore())
        self._worker.start()
        if self._keeper is not None:
            self._keeper.start()
        if self._delivery is not None:
            self._delivery.start()
        self._server.start()
        for connection in self._connections:
            connection.start()
        for probe in self._probes:
            probe.start()

    def wait(self) -> None:
        """Wait until it is asked to stop or the web server has ended."""
        # With a limit: a signal that comes just before the wait interrupts nothing, and would be forgotten.
        while self._asked_at is None and not self._over.wait(_TURN):
            if self._asked_to_reload:
                self._asked_to_reload = False
                self._entrance.reload()

    def ask_to_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask it to stop; usable as a signal handler: it takes no lock, which the interrupted may hold."""
        self._asked_at = time.monotonic()

    def ask_to_reload(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask it to read the web configuration again; usable as a signal handler."""
        self._asked_to_reload = True

    def stop(self) -> None:
        """End all parts, in the order in which data flows, before one common deadline.

        A part that does not end in its share of the time is abandoned. The worker gets the largest share: it
        processes what the queue holds.
        """
        deadline = Deadline(self._asked_at or time.monotonic(), _STOP_WITHIN)
        for probe in self._probes:
            probe.stop()
        for connection in self._connections:
            connection.stop()
        patience = time.monotonic() + deadline.share(0.25)
        for connection in self._connections:
            if not connection.join(max(0.0, patience - time.monotonic())):
                log.info("connection %s did not stop in time; abandoned", connection.label)
        self._worker.stop(deadline.share(0.5))
        if self._delivery is not None:
            self._delivery.stop(deadline.share(0.5))
        if self._keeper is not None:
            self._keeper.stop(deadline.share(0.5))
        # SQLite waits for the disk as it closes; what is committed is safe without.
        closing = threading.Thread(target=self._journal.close, name="journal-close", daemon=True)
        closing.start()
        closing.join(deadline.share(0.5))
        self._server.stop(deadline.share(1.0))


def _sockets(settings: Settings) -> list[socket.socket]:
    """Bind the addresses, or take what systemd has bound."""
    if settings.web_systemd_socket:
        return activated_sockets(os.environ, pid=os.getpid())
    return [bound for listen in settings.listen_addresses for bound in bind(listen.host, listen.port)]


def run(
    settings: Settings, *, on_start: Callable[[ThreadRegistry], Callable[[], None]] | None = None
) -> None:
    """Run the exporter until SIGTERM or SIGINT; SIGHUP reloads the web configuration.

    ``on_start`` is called once it serves, with the thread registry; it returns what to call before it stops.
    It starts a demonstration, which ends with its terminal (SIGHUP).
    Raises OSError where an address cannot be listened on, ``WebConfigError`` for a bad web configuration.
    """
    entrance = AccessControl(settings.web_config_file, threads=ThreadRegistry())
    sockets = _sockets(settings)
    app = App(settings, sockets, entrance)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, app.ask_to_stop)
    if on_start is None:
        signal.signal(signal.SIGHUP, app.ask_to_reload)
    watch = Watch(
        ServiceManager(os.environ, pid=os.getpid()),
        silence=LOOP.silence,
        trouble=app.trouble,
        status=app.status,
        threads=app.threads,
    )
    # A watchdog ends a process by SIGABRT: then the log says where each thread was.
    faulthandler.enable()
    app.start()
    names = [f"systemd's socket {bound.getsockname()}" for bound in sockets]
    for where in names if settings.web_systemd_socket else settings.listen_addresses:
        log.info("listening on %s", where)
    watch.start()
    on_stop = on_start(app.threads) if on_start else lambda: None
    app.wait()
    log.info("stopping")
    watch.stop()
    on_stop()
    app.stop()
