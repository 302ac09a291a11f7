"""libvirt's event loop: one per process, in a thread of its own, registered before the first open.

Its heartbeat is a timer inside the loop itself, so a stale one means that callbacks no longer run.
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

_BEAT_MS = 500
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0
"""Seconds of pause after an iteration that failed: doubled each time, up to the longest."""


class EventLoop:
    """Runs libvirt's default event loop for ever."""

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
        """Seconds of the newest pause; 0: the newest iteration succeeded."""
        self._beat = time.time()
        self._turned = time.monotonic()
        self._turns = 0
        self._started = False
        self._lock = threading.Lock()

    def start(self, threads: ThreadRegistry | None = None) -> None:
        """Register the implementation and run it; later calls only replace the registry."""
        with self._lock:
            self._threads = threads or self._threads
            if self._started:
                return
            # The default handler writes every error to stderr; each is handled where it is raised.
            library_log.restore(os.environ)
            libvirt.registerErrorHandler(_ignore_error, None)
            libvirt.virEventRegisterDefaultImpl()
            # The timer also makes each turn of the loop end, so that the thread never sleeps for ever.
            libvirt.virEventAddTimeout(_BEAT_MS, self._on_beat, None)
            SupervisedThread(self._threads, EVENT_LOOP, "libvirt-loop", self._run, threading.Event()).start()
            self._started = True

    def heartbeat(self) -> float:
        """Return when the loop last turned; Unix time, seconds."""
        return self._beat

    def silence(self) -> float:
        """Return the seconds since the loop last turned, whatever the wall clock did."""
        return time.monotonic() - self._turned

    def turns(self) -> int:
        """Return how often the heartbeat has come; each time, all that libvirt had sent was delivered."""
        return self._turns

    def _on_beat(self, _timer: int, _opaque: object) -> None:
        self._turns += 1
        self._beat, self._turned = time.time(), time.monotonic()

    def iterate(self) -> None:
        """Run one iteration; if it fails, report the exception and pause, longer each time."""
        try:
            self._run_once()
        except Exception as error:  # noqa: BLE001 - reported; the loop must go on
            self._threads.report(EVENT_LOOP, error)
            self._delay = min(_LONGEST_DELAY, 2 * self._delay or _FIRST_DELAY)
            self._pause(self._delay)
        else:
            self._delay = 0.0

    def _run(self) -> None:
        while True:
            self.iterate()


def _ignore_error(_context: object, _error: object) -> None:
    """The global error handler does nothing: errors arrive as exceptions anyway."""


LOOP = EventLoop()
"""The one loop of this process: libvirt allows one implementation to be registered."""


def libvirt_version() -> str:
    """Return the version of the libvirt client library, as ``9.0.0``."""
    return dotted(int(libvirt.getVersion()))


def dotted(number: int) -> str:
    """Spell virGetVersion's number (9000000) as ``9.0.0``."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
