"""Redirect the messages that libvirt's C library writes to standard error to the exporter's log.

libvirt reads its log outputs from the environment when it is loaded, and has no public function to set them.
So ``redirect`` must run before the first import of ``libvirt``. libvirt then writes to a pipe that a thread
reads. Errors are raised as exceptions and logged by their callers; here they are logged at level debug. A
warning is logged once per source location in libvirt.

User settings (``LIBVIRT_LOG_OUTPUTS``, ``LIBVIRT_DEBUG``) take precedence: nothing is redirected then.
https://libvirt.org/logging.html
"""

import logging
import os
import re
import threading
from collections import deque
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

_LINE = re.compile(r"\S+ \S+: \d+: (?P<level>warning|error) : (?P<place>[^ :]+):\d+ : (?P<text>.*)")
_WARNINGS_AND_ERRORS = 3
_MAX_PLACES = 200
_MAX_WARNINGS = 20
_VARIABLE = "LIBVIRT_LOG_OUTPUTS"
_PATH = f"{_WARNINGS_AND_ERRORS}:file:/proc/self/fd/"


def redirect(environment: MutableMapping[str, str]) -> None:
    """Set the log output in the environment, before ``libvirt`` is imported, and start the reader thread."""
    if environment.get(_VARIABLE) or environment.get("LIBVIRT_DEBUG"):
        return
    reader, writer = os.pipe()
    # libvirt opens the path itself; the descriptor stays open so that the reader never reaches the end.
    environment[_VARIABLE] = f"{_PATH}{writer}"
    LOG.is_redirected = True
    threading.Thread(target=_read, args=(reader,), name="libvirt-log", daemon=True).start()


def restore(environment: MutableMapping[str, str]) -> None:
    """Revert the change of the environment after libvirt is loaded.

    A process that libvirt starts (virt-ssh-helper, for example) would read the variable and fail, because it
    does not have the descriptor.
    """
    if environment.get(_VARIABLE, "").startswith(_PATH):
        del environment[_VARIABLE]


def _read(descriptor: int) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as messages:
        for line in messages:
            LOG.write(line.rstrip("\n"))


class LibraryLog:
    """Logs libvirt's messages. ``write`` and ``take`` may run on different threads."""

    def __init__(self) -> None:
        self.is_redirected = False
        self._places: set[str] = set()
        self._warnings: deque[str] = deque(maxlen=_MAX_WARNINGS)
        self._changed = threading.Condition()

    def write(self, line: str) -> None:
        """Log one line of libvirt's log."""
        found = _LINE.fullmatch(line)
        if found is None:
            # The version and host name that libvirt writes first, or a continuation line.
            log.debug("libvirt log", extra={"text": line})
            return
        if found["level"] == "warning":
            with self._changed:
                self._warnings.append(found["text"])
                self._changed.notify_all()
        is_new = found["level"] == "warning" and found["place"] not in self._places
        if is_new:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            self._places.add(found["place"])
        log.log(logging.WARNING if is_new else logging.DEBUG, "libvirt log", extra={"text": found["text"]})

    def take(self, prefix: str, timeout: float) -> str:
        """Return the newest warning with this prefix, and discard all warnings; "" if there is none.

        Waits up to ``timeout`` seconds, because the reader may be behind.
        """
        with self._changed:
            if self.is_redirected:
                self._changed.wait_for(lambda: self._matching(prefix), timeout)
            found = self._matching(prefix)
            self._warnings.clear()
        return found[-1] if found else ""

    def _matching(self, prefix: str) -> list[str]:
        return [text for text in self._warnings if text.startswith(prefix)]


LOG = LibraryLog()
"""The log of libvirt's library in this process."""
