"""One connection to one libvirt: open, keep alive, notice its loss, back off, register again.

Law: everything that can block runs on this connection's own thread, so one that hangs or is down
never delays another, nor events, scrapes or shutdown. After every (re)connect all callbacks are
registered before the snapshot is taken: libvirt never replays, so an overlap is repaired later and a
gap cannot be. Losing the connection is a state, not an exception.
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
from libvirt_lifecycle_exporter.hypervisor.error_causes import CLOSED_BY_PEER, cause_of
from libvirt_lifecycle_exporter.hypervisor.evidence import Evidence
from libvirt_lifecycle_exporter.hypervisor.host import LocalHost, is_local
from libvirt_lifecycle_exporter.hypervisor.listing import NO_PROCESSES, list_domains, look_at
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
_SILENCE = libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE
_ALIVE_CHECK = 10.0
"""Seconds between checks of a quiet connection whose driver has no close callback."""
_SNAPSHOT_PAUSE = 1.0
"""Seconds between snapshots, however often one is asked for."""
_LOOK_PAUSE = 0.02
"""Seconds that looks wait for more of them, so that a burst of events about one domain costs one look."""


class ConnectionSettings(NamedTuple):
    """How to keep a connection; times in seconds."""

    keepalive_interval: int = 5
    keepalive_count: int = 3
    longest_wait: float = 10.0
    snapshot_interval: float = 300.0
    """Between snapshots of a quiet connection; 0: never."""
    log_dir: str = ""
    """Where the emulators' logs are; empty: where libvirt has them."""
    opening: OpenLimits = OpenLimits()


class Connection:
    """Keeps one connection, and answers to wishes for snapshots and looks."""

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
        """``host``: of the exporter; what it says is used only if the domains run there."""
        self._threads = threads or ThreadRegistry()
        self.label = label
        self._inbox = message_queue
        self._settings = settings
        self._open = opener
        self._opener = Opener(uri, settings.opening)
        self._backoff = Backoff(settings.longest_wait)
        self._listener = EventCallbacks(label, message_queue, self.request_listing, self._threads)
        self._wishes = threading.Condition()
        self._looks: dict[str, EvidenceRequest | None] = {}
        self._evidence = Evidence(uri, settings.log_dir, self._threads)
        self._host = (host or LocalHost()) if is_local(uri) else None
        self._processes = self._host or NO_PROCESSES
        self._snapshot_wanted = False
        self._lost: str | None = None
        self._stopping = False
        self._up = False
        self._last_complaint = ""
        self._over = threading.Event()
        self._thread = SupervisedThread(self._threads, CONNECTION, f"libvirt-{label}", self._run, self._over)

    def start(self) -> None:
        """Begin; the event loop must run already."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._over.set()
        with self._wishes:
            self._stopping = True
            self._wishes.notify()
        self._opener.stop()

    def join(self, timeout: float) -> bool:
        """Wait for its end; False if a libvirt call still holds it, whose child processes are then ended."""
        self._thread.join(timeout)
        has_ended = not self._thread.is_alive()
        if not has_ended:
            self._opener.terminate_children()
        return has_ended

    def is_up(self) -> bool:
        """Tell whether events arrive, as far as is known."""
        return self._up and self._lost is None

    def request_listing(self) -> None:
        """Ask for a new snapshot soon; returns at once."""
        with self._wishes:
            self._snapshot_wanted = True
            self._wishes.notify()

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        """Ask for a close look at these domains soon, and for evidence where a subject is given."""
        with self._wishes:
            for uuid, subject in uuids.items():
                self._looks[uuid] = subject or self._looks.get(uuid)
            self._wishes.notify()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._attempt()
            except libvirt.libvirtError as error:
                self._is_down(str(error), cause_of(error))
            except ConnectionError as error:
                self._is_down(str(error), CLOSED_BY_PEER)
            except TimeoutError as error:
                if not self._stopping:
                    self._is_down(str(error))
            except Exception as error:  # noqa: BLE001 - reported; the connection is opened again
                self._threads.report(CONNECTION, error)
                self._is_down("internal error")
            with self._wishes:
                self._wishes.wait_for(lambda: self._stopping, self._backoff.wait())

    def _is_down(self, what: str, cause: str = "") -> None:
        """``cause``: equal for errors of the same cause, whatever their text; "": the text itself."""
        self._inbox.put(ConnectionDown(time.time(), self.label, what))
        self._complain_of(f"it is down: {what}", cause)

    def _is_slow(self, seconds: float) -> None:
        self._is_down(f"connecting takes longer than {seconds:g} s", "slow")

    def _complain_of(self, what: str, cause: str = "") -> None:
        """Log a trouble, once for as long as its cause stays the same."""
        is_new = (cause or what) != self._last_complaint
        self._last_complaint = cause or what
        log.log(logging.WARNING if is_new else logging.DEBUG, "connection %s: %s", self.label, what)

    def _attempt(self) -> None:
        """Open, serve until it is lost or to be stopped, close."""
        connection = self._opener.open(self._open, self._is_slow)
        registered: list[int] = []
        try:
            with self._wishes:
                self._lost = None
            self._evidence.begin()
            self._watch(connection)
            self._report_host(connection)
            registered = self._listener.register(connection)
            self._inbox.put(ConnectionUp(time.time(), self.label))
            self._up = True
            log.info(
                "connection %s is up: driver %s, event kinds %d",
                self.label,
                connection.getType(),
                len(registered),
            )
            self._serve(connection)
        finally:
            self._up = False
            self._close(connection, registered)
        if self._lost is not None:
            self._is_down(self._lost)

    def _report_host(self, connection: Any) -> None:
        """Report the host before any event can arrive: a reboot precedes all that happened since."""
        boot_id = self._host.boot_id() if self._host is not None else ""
        order = self._inbox.next_order()
        self._inbox.put(HostIdentified(order, time.time(), self.label, connection.getType(), boot_id))

    def _watch(self, connection: Any) -> None:
        """Arrange to be told when it is lost; drivers inside this process need and have neither way."""
        connection.registerCloseCallback(self._on_close, None)
        try:
            connection.setKeepAlive(self._settings.keepalive_interval, self._settings.keepalive_count)
        except libvirt.libvirtError as error:
            log.info("connection %s has no keepalive: %s", self.label, error)

    def _on_close(self, _connection: Any, reason: int, _opaque: object) -> None:
        """Run by the event loop when the connection is lost: shown at once, even if a call still hangs."""
        with self._threads.guard(EVENT_LOOP):
            self._note_closed(reason)

    def _note_closed(self, reason: int) -> None:
        why = _CLOSE_REASONS[reason] if reason < len(_CLOSE_REASONS) else f"reason {reason}"
        with self._wishes:
            self._lost = f"lost ({why})"
            self._wishes.notify()
        # A daemon that no longer answers may have been deaf and mute for as long.
        silent = self._settings.keepalive_interval * self._settings.keepalive_count
        since = time.time() - (silent if reason == _SILENCE else 0)
        self._inbox.put(ConnectionDown(since, self.label, self._lost))

    def _serve(self, connection: Any) -> None:
        """Answer wishes until the connection is lost or to be stopped."""
        due = last = 0.0
        while True:
            with self._wishes:
                self._wishes.wait_for(self._has_work, max(0.0, min(_ALIVE_CHECK, due - time.monotonic())))
                if self._stopping or self._lost is not None:
                    return
                if self._snapshot_wanted:
                    due = min(due, last + _SNAPSHOT_PAUSE)
                    self._snapshot_wanted = False
                looks, self._looks = self._looks, {}
            if not connection.isAlive():
                self._lost = "lost (no longer alive)"
                return
            if time.monotonic() >= due:
                wait = self._take_snapshot(connection)
                last = time.monotonic()
                due = last + wait
            if looks:
                self._take_looks(connection, looks)

    def _has_work(self) -> bool:
        return bool(self._stopping or self._lost is not None or self._snapshot_wanted or self._looks)

    def _take_snapshot(self, connection: Any) -> float:
        """List all domains; return the seconds until the next time."""
        began = self._inbox.next_order()
        try:
            domains = list_domains(connection, self._processes)
        except libvirt.libvirtError as error:
            # A listing can fail on a connection that is well; if it is not, that will be noticed by itself.
            self._complain_of(f"its domains could not be listed: {error}", f"listing {cause_of(error)}")
            return self._backoff.wait()
        self._inbox.put(Listing(began, time.time(), self.label, domains))
        self._backoff.reset()
        self._last_complaint = ""
        return self._settings.snapshot_interval or math.inf

    def _take_looks(self, connection: Any, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        """Lookup at each; afterwards rest as long as that took, so that a storm costs at most half a core."""
        started = time.monotonic()
        for uuid, subject in uuids.items():
            if self._stopping or self._lost is not None:
                return
            began = self._inbox.next_order()
            try:
                facts, details = look_at(connection, uuid, self._processes) or (None, None)
            except libvirt.libvirtError as error:
                # Events and snapshots tell the state as well; one odd domain must not cost the connection.
                log.debug("connection %s: no look at %s: %s", self.label, uuid, error)
                continue
            except Exception as error:  # noqa: BLE001 - reported; the other domains are still looked at
                self._threads.report(CONNECTION, error)
                continue
            evidence = "" if subject is None else self._evidence.gather(connection, uuid, subject)
            self._inbox.put(Lookup(began, time.time(), self.label, uuid, facts, details, evidence))
        took = time.monotonic() - started
        with self._wishes:
            self._wishes.wait_for(lambda: self._stopping or self._lost is not None, max(_LOOK_PAUSE, took))

    def _close(self, connection: Any, registered: list[int]) -> None:
        """Let go of everything; libvirt keeps (and feeds) a connection that anything still refers to."""
        for number in registered:
            try:
                connection.domainEventDeregisterAny(number)
            except libvirt.libvirtError as error:
                log.debug("connection %s: callback %d: %s", self.label, number, error)
        try:
            connection.unregisterCloseCallback()
            left = connection.close()
        except libvirt.libvirtError as error:
            log.debug("connection %s: close: %s", self.label, error)
        else:
            if left > 0:
                log.warning("connection %s was closed, but is still referred to %d times", self.label, left)
