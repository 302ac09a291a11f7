"""Notifications to the service manager: readiness, status, watchdog, stopping (sd_notify).

Invariants: WATCHDOG=1 is sent only while libvirt's event loop runs, so systemd restarts a service whose event
loop is stuck. Sending never blocks and never fails.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import logging
import socket
import threading
from collections.abc import Callable, MutableMapping
from typing import Final

from libvirt_lifecycle_exporter.runtime.threads import SERVICE_MANAGER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_PINGS_PER_WATCHDOG_TIMEOUT: Final = 4
"""systemd recommends two."""
_MAX_UPDATE_INTERVAL: Final = 1.0
"""Seconds between two updates of the status, if the watchdog does not need more."""


class NotifySocket:
    """The socket in ``$NOTIFY_SOCKET``. If the variable is not set, nothing is sent."""

    def __init__(self, environment: MutableMapping[str, str], *, pid: int) -> None:
        """Read the variables of the service manager for process ``pid`` and remove them.

        They are removed so that child processes do not notify in the exporter's name.
        """
        self._address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_pid = environment.pop("WATCHDOG_PID", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        is_watched = microseconds.isdigit() and watchdog_pid in ("", str(pid))
        self.watchdog_timeout = int(microseconds) / 1e6 if is_watched and self._address else 0.0
        """Seconds without WATCHDOG=1 after which the service manager restarts the service; 0: no watchdog."""

    def notify(self, **variables: str) -> None:
        """Send variables as sd_notify(3) defines them. An error is logged."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(f"{name}={value}" for name, value in variables.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # noqa: FBT003 - the name says what
                sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning(
                "cannot notify the service manager",
                extra={"variables": ",".join(variables), "error": str(error)},
            )


class StatusNotifier:
    """Notify the service manager of the exporter's state, on a thread."""

    def __init__(
        self,
        notify_socket: NotifySocket,
        *,
        event_loop_age: Callable[[], float],
        unhealthy_reason: Callable[[], str | None],
        status: Callable[[], str],
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``event_loop_age``: seconds since libvirt's event loop last ran.

        ``unhealthy_reason``: why the process does not work; None: it works. ``status``: one line of text.
        """
        self._socket = notify_socket
        self._event_loop_age = event_loop_age
        self._unhealthy_reason = unhealthy_reason
        self._status = status
        self._sent_status = ""
        self._is_healthy = True
        self._stopping = threading.Event()
        self._threads = threads or ThreadRegistry()
        self._thread = SupervisedThread(self._threads, SERVICE_MANAGER, "notify", self._run, self._stopping)

    def start(self) -> None:
        """Notify that the exporter is ready, and start the thread."""
        self._sent_status = self._status()
        self._socket.notify(READY="1", STATUS=self._sent_status)
        self._thread.start()

    def stop(self) -> None:
        """Notify that the exporter stops; does not wait for the thread."""
        self._stopping.set()
        self._socket.notify(STOPPING="1", STATUS="stopping")

    def update(self) -> None:
        """Send the status if it has changed, and WATCHDOG=1 if the exporter is healthy."""
        status = self._status()
        if status != self._sent_status:
            self._sent_status = status
            self._socket.notify(STATUS=status)
        if not self._socket.watchdog_timeout:
            return
        age = self._event_loop_age()
        reason = (
            f"libvirt's event loop has not run for {age:.1f} s"
            if age > self._socket.watchdog_timeout / 2
            else self._unhealthy_reason()
        )
        if reason is None:
            self._socket.notify(WATCHDOG="1")
        elif self._is_healthy:
            log.error("watchdog notifications suspended", extra={"reason": reason})
        self._is_healthy = reason is None

    def _run(self) -> None:
        interval = self._socket.watchdog_timeout / _PINGS_PER_WATCHDOG_TIMEOUT or _MAX_UPDATE_INTERVAL
        while not self._stopping.wait(min(interval, _MAX_UPDATE_INTERVAL)):
            with self._threads.guard(SERVICE_MANAGER):
                self.update()
