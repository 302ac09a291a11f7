"""Why, in words: the free-form part that the RFC asked for. Best effort, bounded, off the event path.

Law: whoever is asked, the answer is one line of plain text, and is there soon or not at all: a folder on
storage that hangs must not take the connection with it.
"""

import threading
from collections.abc import Callable
from typing import Any

from libvirt_lifecycle_exporter.hypervisor.emulator_log import emulator_says, local_driver, log_folder
from libvirt_lifecycle_exporter.hypervisor.kernel_log import kernel_says
from libvirt_lifecycle_exporter.hypervisor.libvirt_messages import LibvirtMessages
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.text import plain
from libvirt_lifecycle_exporter.runtime.threads import CONNECTION, ThreadRegistry

PATIENCE = 1.0
"""Seconds that logs may take to be read. Verdicts wait for it, for 1.5 s at the most."""

OF_DISKS = frozenset({("io_error", "other"), ("suspended", "ioerror")})
"""What libvirt itself knows more about; the log (since libvirt 11.1) tells the same in other words."""
STOPPED = "stopped"
"""The event that the kernel may have brought about."""


class Aside:
    """Asks on a thread of its own, one question at a time, and waits for the answer only so long."""

    def __init__(self, patience: float = PATIENCE, threads: ThreadRegistry | None = None) -> None:
        self._threads = threads or ThreadRegistry()
        self._patience = patience
        self._thread: threading.Thread | None = None

    def ask(self, question: Callable[[], str]) -> str:
        """Return the answer; "" if it does not come in time, or the one before is still not there."""
        if self._thread is not None and self._thread.is_alive():
            return ""
        answer: list[str] = []

        def run() -> None:
            with self._threads.guard(CONNECTION):
                answer.append(question())

        self._thread = threading.Thread(target=run, name="evidence", daemon=True)
        self._thread.start()
        self._thread.join(self._patience)
        return answer[0] if answer else ""


class Evidence:
    """Gathers what can be said of the domains of one connection."""

    def __init__(self, uri: str, log_dir: str, threads: ThreadRegistry | None = None) -> None:
        """``log_dir``: where the emulators' logs are; empty: where libvirt has them."""
        self._threads = threads or ThreadRegistry()
        self._logs = log_folder(uri, log_dir)
        self._driver = local_driver(uri)
        self._messages = LibvirtMessages()
        self._aside = Aside(threads=self._threads)

    def begin(self) -> None:
        """Take in that the connection was opened anew: another libvirt may be behind it."""
        self._messages = LibvirtMessages()

    def gather(self, connection: Any, uuid: str, subject: EvidenceRequest) -> str:
        """Return why it happened, in words; "" if nothing is known. Raises nothing."""
        words = ""
        if (subject.event, subject.reason) in OF_DISKS:
            with self._threads.guard(CONNECTION):
                words = self._messages.say(connection, uuid)
        return words or self._aside.ask(lambda: self._written(subject))

    def _written(self, subject: EvidenceRequest) -> str:
        found = (
            kernel_says(self._driver, subject) if subject.event == STOPPED else "",
            emulator_says(self._logs, subject.name, subject.at),
        )
        return plain("; ".join(words for words in found if words))
