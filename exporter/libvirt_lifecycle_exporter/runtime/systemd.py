"""What the service manager is told: that the exporter serves, that it is well, that it stops.

Law: it is told that all is well only while libvirt's event loop turns; a loop that is stuck is told by
silence, and systemd restarts the service. Telling never blocks and never fails.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import logging
import socket
import threading
from collections.abc import Callable, MutableMapping
from typing import Final

from libvirt_lifecycle_exporter.runtime.threads import SERVICE_MANAGER, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_PER_WATCHDOG: Final = 4
"""Times that all is well is told in each watchdog interval; systemd asks for two."""
_LOOK: Final = 1.0
"""Seconds between two looks where nobody watches."""


class ServiceManager:
    """Whoever listens on ``$NOTIFY_SOCKET``; nobody, if it is not set."""

    def __init__(self, environment: MutableMapping[str, str], *, pid: int) -> None:
        """Take what is meant for this process out of ``environment``: children must not speak for it."""
        self._address = environment.pop("NOTIFY_SOCKET", "")
        for_whom = environment.pop("WATCHDOG_PID", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        is_watched = microseconds.isdigit() and for_whom in ("", str(pid))
        self.watchdog = int(microseconds) / 1e6 if is_watched and self._address else 0.0
        """Seconds of silence after which it acts; 0: it does not watch."""

    def tell(self, **facts: str) -> None:
        """Tell variables and values, as sd_notify(3) names them."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        said = "\n".join(f"{name}={value}" for name, value in facts.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # noqa: FBT003 - the name says what
                sender.sendto(said.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", " and ".join(facts), error)


class Watch:
    """Tells the service manager how the exporter is, on a thread of its own."""

    def __init__(
        self,
        manager: ServiceManager,
        *,
        silence: Callable[[], float],
        trouble: Callable[[], str | None],
        status: Callable[[], str],
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``silence``: seconds since libvirt's event loop last turned. ``trouble``: what else is wrong.

        ``status``: one line for people.
        """
        self._manager = manager
        self._silence = silence
        self._trouble = trouble
        self._status = status
        self._told = ""
        self._is_well = True
        self._over = threading.Event()
        self._threads = threads or ThreadRegistry()
        self._thread = SupervisedThread(self._threads, SERVICE_MANAGER, "notify", self._run, self._over)

    def start(self) -> None:
        """Tell that the exporter serves, and from then on how it is."""
        self._told = self._status()
        self._manager.tell(READY="1", STATUS=self._told)
        self._thread.start()

    def stop(self) -> None:
        """Tell that it stops."""
        self._over.set()
        self._manager.tell(STOPPING="1", STATUS="stopping")

    def look(self) -> None:
        """Look once, and tell what is to be told."""
        status = self._status()
        if status != self._told:
            self._told = status
            self._manager.tell(STATUS=status)
        if not self._manager.watchdog:
            return
        silence = self._silence()
        limit = self._manager.watchdog / 2
        wrong = (
            f"libvirt's event loop has not turned for {silence:.1f} s" if silence > limit else self._trouble()
        )
        if wrong is None:
            self._manager.tell(WATCHDOG="1")
        elif self._is_well:
            log.error("%s; the service manager is no longer told that all is well", wrong)
        self._is_well = wrong is None

    def _run(self) -> None:
        pause = self._manager.watchdog / _PER_WATCHDOG or _LOOK
        while not self._over.wait(min(pause, _LOOK)):
            with self._threads.guard(SERVICE_MANAGER):
                self.look()
