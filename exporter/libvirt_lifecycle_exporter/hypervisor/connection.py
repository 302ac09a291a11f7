"""One connection to one libvirt daemon: open, register callbacks, detect its loss, reconnect with backoff.

Invariants: every libvirt call that may block runs on the connection's own thread, so a connection that hangs
or is down does not delay other connections, events, scrapes or the shutdown. After every (re)connect all
callbacks are registered before the domains are listed: libvirt does not replay events, so an overlap can be
reconciled later, but a gap could not. The loss of a connection is a state, not an exception.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import libvirt

from libvirt_lifecycle_exporter.hypervisor.backoff import Backoff
from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.errors import CLOSED_BY_PEER, cause_of
from libvirt_lifecycle_exporter.hypervisor.evidence import EvidenceCollector
from libvirt_lifecycle_exporter.hypervisor.host import LocalHost, is_local
from libvirt_lifecycle_exporter.hypervisor.listing import NO_PROCESSES, list_domains, look_up
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import Opener, OpenLimits, open_read_only
from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    EvidenceRequest,
    HostIdentified,
    Listing,
    Lookup,
)
from libvirt_lifecycle_exporter.runtime.threads import (
    CONNECTION,
    EVENT_LOOP,
    SupervisedThread,
    ThreadRegistry,
)

log = logging.getLogger(__name__)

_CLOSE_REASONS = ("error", "end of file", "keepalive timeout", "closed by this client")
_KEEPALIVE_TIMEOUT = libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE
_ALIVE_CHECK_INTERVAL = 10.0
"""Seconds between checks of an idle connection whose driver has no close callback."""
_MIN_LISTING_INTERVAL = 1.0
"""Seconds between listings, however often they are requested."""
_LOOKUP_DELAY = 0.02
"""Seconds in which lookup requests are collected, so that a burst of events of a domain causes one lookup."""


class ConnectionSettings(NamedTuple):
    """Settings of a connection; times in seconds."""

    keepalive_interval: int = 5
    keepalive_count: int = 3
    max_reconnect_delay: float = 10.0
    listing_interval: float = 300.0
    """Between listings without a request; 0: none."""
    log_dir: str = ""
    """Directory of the emulator logs; empty: libvirt's default."""
    opening: OpenLimits = OpenLimits()


class Connection:
    """Keeps one connection open, and performs the requested listings and lookups."""

    def __init__(
        self,
        label: str,
        uri: str,
        message_queue: MessageQueue,
        settings: ConnectionSettings,
        opener: Callable[[str], Any] = open_read_only,
        *,
        threads: ThreadRegistry | None = None,
        host: LocalHost | None = None,
    ) -> None:
        """``opener``: opens the URI. ``host``: of the exporter; used only if the domains run on it."""
        self._threads = threads or ThreadRegistry()
        self.label = label
        self._queue = message_queue
        self._settings = settings
        self._open = opener
        self._opener = Opener(uri, settings.opening)
        self._backoff = Backoff(settings.max_reconnect_delay)
        self._callbacks = EventCallbacks(label, message_queue, self.request_listing, self._threads)
        self._changed = threading.Condition()
        """Protects the requests, ``_loss`` and ``_is_stopping``."""
        self._lookups: dict[str, EvidenceRequest | None] = {}
        self._is_listing_requested = False
        self._evidence = EvidenceCollector(uri, settings.log_dir, self._threads)
        self._host = (host or LocalHost()) if is_local(uri) else None
        self._processes = self._host or NO_PROCESSES
        self._loss: str | None = None
        """Why the open connection was lost; None: it was not."""
        self._is_stopping = False
        self._is_registered = False
        self._last_problem = ""
        self._stop_requested = threading.Event()
        name = f"libvirt-{label}"
        self._thread = SupervisedThread(self._threads, CONNECTION, name, self._run, self._stop_requested)

    def start(self) -> None:
        """Start the thread; the event loop must already run."""
        self._thread.start()

    def stop(self) -> None:
        """Request the end of the thread; returns at once."""
        self._stop_requested.set()
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._opener.stop()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread; return whether it has ended.

        If a libvirt call still blocks the thread, the child processes of the connection are terminated.
        """
        self._thread.join(timeout)
        has_ended = not self._thread.is_alive()
        if not has_ended:
            self._opener.terminate_children()
        return has_ended

    def is_up(self) -> bool:
        """Return whether callbacks are registered on an open connection."""
        return self._is_registered and self._loss is None

    def request_listing(self) -> None:
        """Request a listing of all domains; returns at once."""
        with self._changed:
            self._is_listing_requested = True
            self._changed.notify()

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        """Request a lookup of each domain, with evidence if a request for it is given; returns at once."""
        with self._changed:
            for uuid, evidence_request in uuids.items():
                self._lookups[uuid] = evidence_request or self._lookups.get(uuid)
            self._changed.notify()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._open_and_serve()
            except libvirt.libvirtError as error:
                self._report_down(str(error), cause_of(error))
            except ConnectionError as error:
                self._report_down(str(error), CLOSED_BY_PEER)
            except TimeoutError as error:
                if not self._is_stopping:
                    self._report_down(str(error))
            except Exception as error:  # noqa: BLE001 - reported; the connection is opened again
                self._threads.report(CONNECTION, error)
                self._report_down("internal error")
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopping, self._backoff.next_delay())

    def _report_down(self, error: str, cause: str = "") -> None:
        """Report that the connection is down. ``cause``: equal for errors with the same cause."""
        self._queue.put(ConnectionDown(time.time(), self.label, error))
        self._log_problem("connection down", error, cause)

    def _report_slow(self, seconds: float) -> None:
        self._report_down(f"connecting takes longer than {seconds:g} s", "slow")

    def _log_problem(self, message: str, error: str, cause: str = "") -> None:
        """Log a warning, once for as long as its cause stays the same."""
        is_new = (cause or error) != self._last_problem
        self._last_problem = cause or error
        level = logging.WARNING if is_new else logging.DEBUG
        log.log(level, message, extra={"connection": self.label, "error": error})

    def _open_and_serve(self) -> None:
        """Open the connection, serve requests until it is lost or to be stopped, close it."""
        connection = self._opener.open(self._open, self._report_slow)
        registered: list[int] = []
        try:
            with self._changed:
                self._loss = None
            self._evidence.reset()
            self._enable_loss_detection(connection)
            self._report_host(connection)
            registered = self._callbacks.register(connection)
            self._queue.put(ConnectionUp(time.time(), self.label))
            self._is_registered = True
            fields = {
                "connection": self.label,
                "driver": connection.getType(),
                "event_kinds": len(registered),
            }
            log.info("connection up", extra=fields)
            self._serve(connection)
        finally:
            self._is_registered = False
            self._close(connection, registered)
        if self._loss is not None:
            self._report_down(self._loss)

    def _report_host(self, connection: Any) -> None:
        """Report the host before callbacks are registered: a reboot precedes all later events."""
        boot_id = self._host.boot_id() if self._host is not None else ""
        order = self._queue.next_order()
        self._queue.put(HostIdentified(order, time.time(), self.label, connection.getType(), boot_id))

    def _enable_loss_detection(self, connection: Any) -> None:
        """Register a close callback and enable keepalive; drivers inside this process support neither."""
        connection.registerCloseCallback(self._on_close, None)
        try:
            connection.setKeepAlive(self._settings.keepalive_interval, self._settings.keepalive_count)
        except libvirt.libvirtError as error:
            log.info("keepalive not supported", extra={"connection": self.label, "error": str(error)})

    def _on_close(self, _connection: Any, reason: int, _opaque: object) -> None:
        """Report the loss; called by the event loop, so it does not wait for a call that hangs."""
        with self._threads.guard(EVENT_LOOP):
            self._record_loss(reason)

    def _record_loss(self, reason: int) -> None:
        text = _CLOSE_REASONS[reason] if reason < len(_CLOSE_REASONS) else f"reason {reason}"
        with self._changed:
            self._loss = f"lost ({text})"
            self._changed.notify()
        # After a keepalive timeout, events may have been missing since the first unanswered keepalive.
        unanswered = self._settings.keepalive_interval * self._settings.keepalive_count
        since = time.time() - (unanswered if reason == _KEEPALIVE_TIMEOUT else 0)
        self._queue.put(ConnectionDown(since, self.label, self._loss))

    def _serve(self, connection: Any) -> None:
        """List and look up domains until the connection is lost or to be stopped."""
        due = last = 0.0
        while True:
            with self._changed:
                wait = max(0.0, min(_ALIVE_CHECK_INTERVAL, due - time.monotonic()))
                self._changed.wait_for(self._has_work, wait)
                if self._is_stopping or self._loss is not None:
                    return
                if self._is_listing_requested:
                    due = min(due, last + _MIN_LISTING_INTERVAL)
                    self._is_listing_requested = False
                lookups, self._lookups = self._lookups, {}
            if not connection.isAlive():
                self._loss = "lost (no longer alive)"
                return
            if time.monotonic() >= due:
                wait = self._list(connection)
                last = time.monotonic()
                due = last + wait
            if lookups:
                self._look_up(connection, lookups)

    def _has_work(self) -> bool:
        return bool(
            self._is_stopping or self._loss is not None or self._is_listing_requested or self._lookups
        )

    def _list(self, connection: Any) -> float:
        """List all domains; return the seconds until the next listing."""
        began = self._queue.next_order()
        try:
            domains = list_domains(connection, self._processes)
        except libvirt.libvirtError as error:
            # A listing may fail on an intact connection; the loss of the connection is detected separately.
            self._log_problem("domains not listed; retrying", str(error), f"listing {cause_of(error)}")
            return self._backoff.next_delay()
        self._queue.put(Listing(began, time.time(), self.label, domains))
        self._backoff.reset()
        self._last_problem = ""
        return self._settings.listing_interval or math.inf

    def _look_up(self, connection: Any, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        """Look up each domain; then pause as long as that took, so that a burst costs at most half a core."""
        started = time.monotonic()
        for uuid, evidence_request in uuids.items():
            if self._is_stopping or self._loss is not None:
                return
            began = self._queue.next_order()
            try:
                facts, details = look_up(connection, uuid, self._processes) or (None, None)
            except libvirt.libvirtError as error:
                # Events and listings report the state as well; one domain must not affect the connection.
                fields = {"connection": self.label, "uuid": uuid, "error": str(error)}
                log.debug("domain not looked up", extra=fields)
                continue
            except Exception as error:  # noqa: BLE001 - reported; the other domains are still looked up
                self._threads.report(CONNECTION, error)
                continue
            evidence = (
                self._evidence.collect(connection, uuid, evidence_request)
                if evidence_request is not None
                else ""
            )
            self._queue.put(Lookup(began, time.time(), self.label, uuid, facts, details, evidence))
        took = time.monotonic() - started
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopping or self._loss is not None, max(_LOOKUP_DELAY, took)
            )

    def _close(self, connection: Any, registered: list[int]) -> None:
        """Deregister and close: libvirt keeps a connection open (with its events) while it is referenced."""
        for number in registered:
            try:
                connection.domainEventDeregisterAny(number)
            except libvirt.libvirtError as error:
                fields = {"connection": self.label, "callback": number, "error": str(error)}
                log.debug("callback not deregistered", extra=fields)
        try:
            connection.unregisterCloseCallback()
            references = connection.close()
        except libvirt.libvirtError as error:
            log.debug("connection not closed cleanly", extra={"connection": self.label, "error": str(error)})
        else:
            if references > 0:
                fields = {"connection": self.label, "references": references}
                log.warning("connection closed but still referenced", extra=fields)
