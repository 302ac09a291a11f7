"""Collect textual evidence of the cause of an event: the free-form ``message`` of a transition.

Best effort, off the event path, with a time limit: storage that hangs must not block the connection.
Invariant: the result is one line of plain text, or empty.
"""

import threading
from collections.abc import Callable
from typing import Any

from libvirt_lifecycle_exporter.hypervisor.emulator_log import local_driver, log_directory, read_end_reason
from libvirt_lifecycle_exporter.hypervisor.kernel_log import find_oom_kill
from libvirt_lifecycle_exporter.hypervisor.libvirt_messages import LibvirtMessages
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.text import plain
from libvirt_lifecycle_exporter.runtime.threads import CONNECTION, ThreadRegistry

TIME_LIMIT = 1.0
"""Seconds to read logs. A pending verdict waits for the evidence, at most 1.5 s."""

DISK_EVENTS = frozenset({("io_error", "other"), ("suspended", "ioerror")})
"""Events that libvirt itself knows more about; since libvirt 11.1 the emulator log repeats it in other
words."""
STOPPED = "stopped"
"""The event that a kill by the kernel may have caused."""


class LimitedReader:
    """Runs one function at a time on a separate thread, and waits for its result for a limited time."""

    def __init__(self, time_limit: float = TIME_LIMIT, threads: ThreadRegistry | None = None) -> None:
        """``time_limit``: seconds."""
        self._threads = threads or ThreadRegistry()
        self._time_limit = time_limit
        self._thread: threading.Thread | None = None

    def read(self, function: Callable[[], str]) -> str:
        """Return the result; "" if it does not arrive in time, or if the previous call has not returned."""
        if self._thread is not None and self._thread.is_alive():
            return ""
        result: list[str] = []

        def run() -> None:
            with self._threads.guard(CONNECTION):
                result.append(function())

        self._thread = threading.Thread(target=run, name="evidence", daemon=True)
        self._thread.start()
        self._thread.join(self._time_limit)
        return result[0] if result else ""


class EvidenceCollector:
    """Collects evidence about the domains of one connection."""

    def __init__(self, uri: str, log_dir: str, threads: ThreadRegistry | None = None) -> None:
        """``log_dir``: directory of the emulator logs; empty: libvirt's default."""
        self._threads = threads or ThreadRegistry()
        self._logs = log_directory(uri, log_dir)
        self._driver = local_driver(uri)
        self._messages = LibvirtMessages()
        self._reader = LimitedReader(threads=self._threads)

    def reset(self) -> None:
        """Prepare for a new connection: the daemon may be another version."""
        self._messages = LibvirtMessages()

    def collect(self, connection: Any, uuid: str, request: EvidenceRequest) -> str:
        """Return the evidence for an event of a domain; "" if there is none. Raises nothing."""
        found = ""
        if (request.event, request.reason) in DISK_EVENTS:
            with self._threads.guard(CONNECTION):
                found = self._messages.newest_io_errors(connection, uuid)
        return found or self._reader.read(lambda: self._read_logs(request))

    def _read_logs(self, request: EvidenceRequest) -> str:
        found = (
            find_oom_kill(self._driver, request) if request.event == STOPPED else "",
            read_end_reason(self._logs, request.name, request.at),
        )
        return plain("; ".join(text for text in found if text))
