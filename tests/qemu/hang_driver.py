"""Driver of many guests on one daemon, and of an exporter with short hang thresholds."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import libvirt

from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests

INTERVAL, THRESHOLD = 2.0, 2.0
SLACK = 2.0
DETECTION_LIMIT = THRESHOLD + INTERVAL + SLACK
"""Required detection time in seconds. A busy machine gets more time; the times are printed."""
TIMEOUT = 30.0
SHORT_TIMEOUTS = (
    *("--hang.emulator-interval", f"{INTERVAL:g}s", "--hang.emulator-threshold", f"{THRESHOLD:g}s"),
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
    *("--libvirt.reconnect-max-delay", "1s"),
)


class HangDriver:
    def __init__(self, daemon: Daemon, guests: Guests, exporter: Exporter) -> None:
        self.daemon = daemon
        self.guests = guests
        self.exporter = exporter
        self.connection: Any = daemon.connect()

    def boot(self, names: Iterable[str], guest: Guest = IDLE) -> None:
        for name in names:
            self.connection.createXML(self.guests.xml(name, guest))

    def domain(self, name: str) -> Any:
        return self.connection.lookupByName(name)

    def freeze(self, *names: str) -> float:
        for name in names:
            os.kill(self.daemon.emulator_pid(name), signal.SIGSTOP)
        return time.time()

    def thaw(self, *names: str) -> float:
        for name in names:
            os.kill(self.daemon.emulator_pid(name), signal.SIGCONT)
        return time.time()

    def hung(self, signal: str = "emulator") -> set[str]:
        """Return the domains that the metrics show as hung."""
        family = self.exporter.metrics()["libvirt_domain_hung"]
        return {
            sample.labels["domain"]
            for sample in family.samples
            if sample.value == 1 and sample.labels["signal"] == signal
        }

    def wait_hung(self, names: Iterable[str], signal: str = "emulator") -> None:
        """Wait until exactly these domains are hung."""
        wanted = set(names)
        self.exporter.wait_until(
            lambda: self.hung(signal) == wanted, TIMEOUT, f"{sorted(wanted)} to be hung ({signal})"
        )

    def times(self, name: str, event: str, signal: str = "emulator") -> list[float]:
        return [
            row.at for row in self.exporter.journal.rows(name) if (row.event, row.reason) == (event, signal)
        ]

    def rounds(self, signal: str = "emulator", **labels: str) -> float:
        name = "libvirt_lifecycle_exporter_probe_duration_seconds_count"
        return self.exporter.value(name, signal=signal, **labels) or 0

    def wait_probes(self, signal: str = "emulator", rounds: int = 2, **labels: str) -> None:
        """Wait for complete rounds of probes."""
        before = self.rounds(signal, **labels)
        self.exporter.wait_until(
            lambda: self.rounds(signal, **labels) >= before + rounds, TIMEOUT, "another round of probes"
        )

    def close(self) -> None:
        with suppress(libvirt.libvirtError):  # the daemon may have been restarted
            self.connection.close()


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def sockets(pid: int) -> int:
    """Return the number of open sockets of a process: libvirt connections and HTTP connections."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += entry.readlink().name.startswith("socket:")
        except FileNotFoundError:
            # Closed meanwhile.
            continue
    return found


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
