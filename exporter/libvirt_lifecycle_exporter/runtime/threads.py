"""Supervised threads: an exception is logged once per cause and counted, and the thread continues.

Invariant: no supervised thread ends silently. If its target raises, it is restarted with a growing delay. A
thread that ended anyway (by ``SystemExit``, for example) is listed by ``ThreadRegistry.ended``, and health
reports it. "Threads and locks" in docs/architecture.md lists all threads, also those without supervision.

Entry points: ``ThreadRegistry.guard`` around one step of a loop, ``SupervisedThread`` for a whole thread.
All methods may be called from any thread.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

log = logging.getLogger(__name__)

WORKER: Final = "worker"
CONNECTION: Final = "connection"
EVENT_LOOP: Final = "event_loop"
PROBE: Final = "probe"
JOURNAL_MAINTENANCE: Final = "journal_maintenance"
OTLP_SENDER: Final = "otlp_sender"
WEB_SERVER: Final = "web_server"
WEB_CONFIG: Final = "web_config"
SERVICE_MANAGER: Final = "service_manager"
DEMO: Final = "demo"
"""Only the demo command has this thread: it is not among ``ROLES``."""

ROLES: Final = (
    WORKER,
    CONNECTION,
    EVENT_LOOP,
    PROBE,
    JOURNAL_MAINTENANCE,
    OTLP_SENDER,
    WEB_SERVER,
    WEB_CONFIG,
    SERVICE_MANAGER,
)
"""The roles of threads: the values of the label ``thread`` of the metric."""

_MAX_CAUSES: Final = 200
"""Number of logged causes that are stored; beyond it the set is cleared, and they are logged again."""
_FIRST_DELAY: Final = 0.1
_MAX_DELAY: Final = 30.0
"""Seconds before the target of a thread is restarted after an exception; doubled each time."""


class ThreadRegistry:
    """The exporter's threads and the errors that they recovered from."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter(dict.fromkeys(ROLES, 0))
        """Role -> number of caught exceptions."""
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str, str, int]] = set()
        self._threads: list[SupervisedThread] = []

    @contextmanager
    def guard(self, role: str) -> Iterator[None]:
        """Count and log an exception raised inside the block instead of propagating it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the purpose of this block
            self.report(role, error)

    def report(self, role: str, error: BaseException) -> None:
        """Count an exception, and log it with its traceback unless the same cause was logged before.

        Two exceptions have the same cause if role, type and the line that raised are the same.
        """
        cause = (role, type(error).__name__, *_origin(error.__traceback__))
        with self._lock:
            self.errors[role] += 1
            is_new = cause not in self._logged
            if len(self._logged) >= _MAX_CAUSES:
                self._logged.clear()
            self._logged.add(cause)
        if is_new:
            log.error("unexpected error in thread; continuing", extra={"role": role}, exc_info=error)

    def add(self, thread: "SupervisedThread") -> None:
        """Register a thread that was started."""
        with self._lock:
            self._threads = [old for old in self._threads if old.is_alive() or old.has_ended_early()]
            self._threads.append(thread)

    def ended(self) -> list[str]:
        """Return the names of the threads that ended early, see ``SupervisedThread.has_ended_early``."""
        with self._lock:
            return [thread.name for thread in self._threads if thread.has_ended_early()]


class SupervisedThread:
    """A daemon thread that runs ``target`` until it returns, and restarts it if it raises."""

    def __init__(
        self,
        registry: ThreadRegistry,
        role: str,
        name: str,
        target: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        """``target`` returns when its work is done. ``stopping`` is set to ask the thread to end."""
        self.name = name
        self._registry = registry
        self._role = role
        self._target = target
        self._stopping = stopping
        self._has_returned = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._registry.add(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait up to ``timeout`` seconds for the thread to end."""
        self._thread.join(timeout)

    def is_alive(self) -> bool:
        """Return whether the thread is running."""
        return self._thread.is_alive()

    def has_ended_early(self) -> bool:
        """Return whether the thread ended although its target did not return and ``stopping`` is not set."""
        was_started = self._thread.ident is not None
        return was_started and not self.is_alive() and not self._has_returned and not self._stopping.is_set()

    def _run(self) -> None:
        delay = _FIRST_DELAY
        while True:
            began = time.monotonic()
            try:
                self._target()
            except Exception as error:  # noqa: BLE001 - the purpose of this class
                self._registry.report(self._role, error)
            else:
                break
            if time.monotonic() - began > _MAX_DELAY:
                delay = _FIRST_DELAY
            if self._stopping.wait(delay):
                break
            delay = min(2 * delay, _MAX_DELAY)
        self._has_returned = True


class Deadline:
    """A time limit that several steps share."""

    def __init__(self, began: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``began``: start on ``clock``, which is monotonic; ``seconds``: the limit."""
        self._end = began + seconds
        self._clock = clock

    def share(self, part: float) -> float:
        """Return a part (0 to 1) of the remaining seconds; 0 after the deadline."""
        return max(0.0, self._end - self._clock()) * part


def _origin(traceback: TracebackType | None) -> tuple[str, int]:
    """Return the file and the line that raised an exception."""
    if traceback is None:
        return "", 0
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
