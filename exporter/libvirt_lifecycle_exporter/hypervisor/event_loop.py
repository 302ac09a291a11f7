"""libvirt's event loop: one per process, on its own thread, registered before the first connection is opened.

The heartbeat is a timer of the loop, so a stale heartbeat means that callbacks are no longer called.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

import libvirt

from libvirt_lifecycle_exporter.hypervisor import library_log
from libvirt_lifecycle_exporter.runtime.threads import EVENT_LOOP, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_HEARTBEAT_MS = 500
_FIRST_DELAY: Final = 0.1
_MAX_DELAY: Final = 5.0
"""Seconds of pause after an iteration that failed: doubled each time, up to the maximum."""


class EventLoop:
    """Runs libvirt's default event loop for the lifetime of the process."""

    def __init__(
        self,
        run_once: Callable[[], object] = libvirt.virEventRunDefaultImpl,
        pause: Callable[[float], object] = time.sleep,
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``run_once``: runs one iteration; ``pause``: waits for a number of seconds."""
        self._run_once = run_once
        self._pause = pause
        self._threads = threads or ThreadRegistry()
        self._delay = 0.0
        """Seconds of the last pause; 0: the last iteration succeeded."""
        self._heartbeat_at = time.time()
        self._heartbeat_monotonic = time.monotonic()
        self._heartbeats = 0
        self._started = False
        self._lock = threading.Lock()

    def start(self, threads: ThreadRegistry | None = None) -> None:
        """Register the implementation and run it; later calls only replace the registry."""
        with self._lock:
            self._threads = threads or self._threads
            if self._started:
                return
            # The default handler writes every error to standard error; each one is handled where it is
            # raised.
            library_log.restore(os.environ)
            libvirt.registerErrorHandler(_ignore_error, None)
            libvirt.virEventRegisterDefaultImpl()
            # The timer also ends each iteration, so that the thread never blocks indefinitely.
            libvirt.virEventAddTimeout(_HEARTBEAT_MS, self._on_heartbeat, None)
            SupervisedThread(self._threads, EVENT_LOOP, "libvirt-loop", self._run, threading.Event()).start()
            self._started = True

    def heartbeat(self) -> float:
        """Return the time of the last heartbeat; Unix time, seconds."""
        return self._heartbeat_at

    def heartbeat_age(self) -> float:
        """Return the seconds since the last heartbeat, by the monotonic clock."""
        return time.monotonic() - self._heartbeat_monotonic

    def heartbeats(self) -> int:
        """Return the number of heartbeats; at each one, every event received before it has been delivered."""
        return self._heartbeats

    def _on_heartbeat(self, _timer: int, _opaque: object) -> None:
        self._heartbeats += 1
        self._heartbeat_at, self._heartbeat_monotonic = time.time(), time.monotonic()

    def iterate(self) -> None:
        """Run one iteration; if it fails, report the exception and pause for an increasing time."""
        try:
            self._run_once()
        except Exception as error:  # noqa: BLE001 - reported; the loop must continue
            self._threads.report(EVENT_LOOP, error)
            self._delay = min(_MAX_DELAY, 2 * self._delay or _FIRST_DELAY)
            self._pause(self._delay)
        else:
            self._delay = 0.0

    def _run(self) -> None:
        while True:
            self.iterate()


def _ignore_error(_context: object, _error: object) -> None:
    """Do nothing: errors are raised as exceptions."""


LOOP = EventLoop()
"""The event loop of this process: libvirt allows only one registered implementation."""


def libvirt_version() -> str:
    """Return the version of the libvirt client library, as ``9.0.0``."""
    return format_version(int(libvirt.getVersion()))


def format_version(number: int) -> str:
    """Return a version number of virGetVersion (9000000) as ``9.0.0``."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
