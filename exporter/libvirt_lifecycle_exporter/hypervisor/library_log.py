"""Route the messages that libvirt's C library would write to standard error through this process' log.

libvirt reads its log outputs from the environment when it is loaded, and has no public function to set them.
So ``redirect`` must run before the first import of ``libvirt``; it makes libvirt write to a pipe that a
thread reads. Errors reach their callers as exceptions and are logged there; here they are logged at level
debug. A warning is logged once per cause (the place in libvirt's source that wrote it).

Settings of the user (``LIBVIRT_LOG_OUTPUTS``, ``LIBVIRT_DEBUG``) win: then nothing is redirected.
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
    """Prepare the environment for the import of ``libvirt``, and start to read."""
    if environment.get(_VARIABLE) or environment.get("LIBVIRT_DEBUG"):
        return
    reader, writer = os.pipe()
    # libvirt opens the path itself; the descriptor stays open, so that the reader never sees the end.
    environment[_VARIABLE] = f"{_PATH}{writer}"
    LOG.is_redirected = True
    threading.Thread(target=_read, args=(reader,), name="libvirt-log", daemon=True).start()


def restore(environment: MutableMapping[str, str]) -> None:
    """Undo what ``redirect`` did to the environment, once libvirt is loaded.

    A process that libvirt starts (ssh) reads the variable again, and has no such descriptor: it would fail.
    """
    if environment.get(_VARIABLE, "").startswith(_PATH):
        del environment[_VARIABLE]


def _read(descriptor: int) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as messages:
        for line in messages:
            LOG.write(line.rstrip("\n"))


class LibraryLog:
    """Logs libvirt's messages, each cause once. ``write`` and ``take`` may run on different threads."""

    def __init__(self) -> None:
        self.is_redirected = False
        self._places: set[str] = set()
        self._warnings: deque[str] = deque(maxlen=_MAX_WARNINGS)
        self._changed = threading.Condition()

    def write(self, line: str) -> None:
        """Log one line of libvirt's log."""
        found = _LINE.fullmatch(line)
        if found is None:
            # The version and host name that libvirt writes first, and further lines of a message.
            log.debug("libvirt: %s", line)
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
        log.log(logging.WARNING if is_new else logging.DEBUG, "libvirt: %s", found["text"])

    def take(self, beginning: str, timeout: float) -> str:
        """Return the newest warning that begins so, and forget all of them.

        Wait for at most ``timeout`` seconds, as the reader may be behind; "" if there is none.
        """
        with self._changed:
            if self.is_redirected:
                self._changed.wait_for(lambda: self._matching(beginning), timeout)
            found = self._matching(beginning)
            self._warnings.clear()
        return found[-1] if found else ""

    def _matching(self, beginning: str) -> list[str]:
        return [text for text in self._warnings if text.startswith(beginning)]


LOG = LibraryLog()
"""The messages of this process."""
