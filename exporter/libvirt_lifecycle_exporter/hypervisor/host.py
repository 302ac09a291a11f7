"""Read the boot id and the start times of emulator processes of the exporter's own host.

Used only for local connections, on the connection's own thread, never in a callback. Best effort: a value
that cannot be read is unknown, and nothing is raised.
"""

import re
import threading
import time
from collections.abc import Collection
from pathlib import Path

from libvirt_lifecycle_exporter.hypervisor.emulator_log import local_driver

_UUID = re.compile(rb"\0-uuid\0([0-9a-f-]{36})\0")
"""libvirt passes the domain's UUID to QEMU."""
_START = 19
"""Index of the start time in /proc/PID/stat after the command name (proc(5), field 22)."""
_SCAN_PAUSE_FACTOR = 10
"""After a scan of all processes, the next one is delayed by this multiple of its duration."""
_SCAN_TIMEOUT = 1.0
"""Seconds to wait for a scan. Reading the command line of a stuck process may block."""


class LocalHost:
    """The host that the exporter runs on.

    ``proc``: where procfs is mounted. A container may see only its own processes there, but always the host's
    boot id, because boot ids have no namespace. With hidepid or ProtectProc= no emulator is visible.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._pids: dict[str, tuple[int, int]] = {}
        """By UUID: pid and start time (clock ticks since boot) of the emulator."""
        self._next_scan = 0.0
        """Monotonic time before which the processes are not scanned again."""
        self._scanner: threading.Thread | None = None

    def boot_id(self) -> str:
        """Return the id of the current boot; "" if it cannot be read."""
        try:
            return (self._proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
        except (OSError, ValueError):
            return ""

    def process_starts(self, uuids: Collection[str]) -> dict[str, int]:
        """Return when the emulators of these domains started, in clock ticks since boot, by UUID.

        A domain is omitted if no process, or more than one, has its UUID.
        """
        found = {uuid: start for uuid in uuids if (start := self._known_start(uuid))}
        if len(found) < len(uuids) and self._scan_in_time():
            pids = self._pids
            found |= {uuid: pids[uuid][1] for uuid in uuids if uuid in pids}
        return found

    def _scan_in_time(self) -> bool:
        """Scan on a separate thread; return whether a scan was due and finished in time."""
        began = time.monotonic()
        if began < self._next_scan or (self._scanner is not None and self._scanner.is_alive()):
            return False
        self._scanner = threading.Thread(target=self._scan, name="process-scan", daemon=True)
        self._scanner.start()
        self._scanner.join(_SCAN_TIMEOUT)
        ended = time.monotonic()
        self._next_scan = ended + _SCAN_PAUSE_FACTOR * (ended - began)
        return not self._scanner.is_alive()

    def _known_start(self, uuid: str) -> int:
        """Return the known start time of an emulator that still runs; 0 otherwise."""
        pid, start = self._pids.get(uuid, (0, 0))
        return start if pid and self._start_of(pid) == start else 0

    def _scan(self) -> None:
        """Find the emulator of every domain."""
        found: dict[str, list[tuple[int, int]]] = {}
        try:
            pids = [int(entry.name) for entry in self._proc.iterdir() if entry.name.isdecimal()]
        except OSError:
            pids = []
        for pid in pids:
            try:
                match = _UUID.search((self._proc / str(pid) / "cmdline").read_bytes())
            except OSError:
                continue
            if match and (start := self._start_of(pid)):
                found.setdefault(match[1].decode(), []).append((pid, start))
        # Two libvirt daemons on one host may run domains with the same UUID, for example during a migration.
        self._pids = {uuid: processes[0] for uuid, processes in found.items() if len(processes) == 1}

    def _start_of(self, pid: int) -> int:
        """Return the start time of a process; 0 if it has ended."""
        try:
            fields = (self._proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            return 0 if fields[0] in ("Z", "X") else int(fields[_START])
        except (OSError, ValueError, IndexError):
            return 0


def is_local(uri: str) -> bool:
    """Return whether the domains of a connection run on this host, as far as its URI says.

    Only a URI without a host name and with the transport ``unix`` or none is local: ``qemu+tcp://localhost``
    may be a tunnel. A Unix socket that is forwarded from another host cannot be told from a local one.
    """
    return local_driver(uri) != ""
