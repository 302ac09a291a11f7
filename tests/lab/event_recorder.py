"""Recorder of the events that libvirt sends, for comparison with the counters of the exporter.

The names of pairs come from the constants of the libvirt module, not from the tables of the exporter, so
that an error in these tables is found.
"""

import itertools
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import libvirt

from tests.lab.pairs import Event, Pair, count_pairs
from tests.lab.piped_process import end_piped_process

SCRIPT = Path(__file__).with_name("event_recorder_process.py")
TIMEOUT = 30.0
"""Seconds for one event, and for the end of the process."""

Result = TypeVar("Result")


class EventRecorder:
    """Reads the recorder process. Every wait is for an event, never for a fixed time."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._markers = itertools.count()
        self._log: list[Event] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="event-recorder", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self.wait_connected()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def events(self, domain: str) -> list[Event]:
        with self._changed:
            return [event for event in self._log if event.domain == domain]

    def pairs(self, domain: str) -> Counter[Pair]:
        """Return the pairs of this domain as an exporter that counts raw pairs has them."""
        return count_pairs(self.events(domain))

    def wait_connected(self, times: int = 1, timeout: float = TIMEOUT) -> None:
        """Wait for the `times`-th connection since the start; 2 is the first one after a loss."""
        self._wait(lambda: self._times("connected") >= times, timeout, f"connection {times} of the recorder")

    def wait_for(
        self, domain: str, event: str, detail: str | None = None, *, count: int = 1, timeout: float = TIMEOUT
    ) -> Event:
        """Return the `count`-th event of the domain with this pair, or with this name of an event id."""

        def found() -> Event | None:
            hits = [one for one in self._log if one.domain == domain and one.matches(event, detail)]
            return hits[count - 1] if len(hits) >= count else None

        hit = self._wait(found, timeout, f"{event}/{detail or '*'} number {count} of {domain}")
        assert hit is not None
        return hit

    def summary(self, domain: str) -> str:
        return " ".join(str(event) for event in self.events(domain))

    def settle(self) -> str:
        """Wait until all events that libvirt has sent before this call have arrived.

        Events of one driver arrive in order; so this defines and undefines a marker domain and waits for
        its events. Returns the name of the marker: an exporter that has counted its last event has counted
        all earlier ones.
        """
        marker = f"marker-{next(self._markers)}"
        connection = libvirt.open(self.uri)
        try:
            kind = "test" if connection.getType() == "TEST" else "qemu"
            connection.defineXML(
                f"<domain type='{kind}'><name>{marker}</name><memory>1024</memory>"
                "<os><type arch='x86_64'>hvm</type></os></domain>"
            ).undefine()
        finally:
            connection.close()
        self.wait_for(marker, "undefined", "removed")
        return marker

    def close(self) -> None:
        end_piped_process(self._process, self._reader, TIMEOUT)

    def _times(self, kind: str) -> int:
        return sum(event.kind == kind for event in self._log)

    def _wait(self, found: Callable[[], Result], timeout: float, what: str) -> Result:
        with self._changed:
            if result := self._changed.wait_for(found, timeout):
                return result
            log = " ".join(f"{event.domain}:{event}" for event in self._log[-40:])
        raise TimeoutError(f"the recorder waited {timeout:g} s for {what}; last events: {log}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = Event.parse(json.loads(line))
            with self._changed:
                self._log.append(event)
                self._changed.notify_all()
