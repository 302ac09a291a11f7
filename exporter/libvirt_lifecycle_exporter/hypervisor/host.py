"""What the exporter can read of its own host: the boot id, and when each emulator process started.

Used only for local connections, on the connection's own thread, never in a callback. Everything is best
effort: what cannot be read is not known, and nothing is raised.
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
_SCAN_SHARE = 10
"""Scans of all processes take at most one part in so many of the time."""
_SCAN_LIMIT = 1.0
"""Seconds to wait for a scan. Reading the command line of a process that is stuck may block."""


class LocalHost:
    """The host that the exporter runs on.

    ``proc``: where procfs is mounted. A container may see only its own processes there; it sees the host's
    boot id always, because no namespace hides that. With hidepid or ProtectProc= no emulator is
    visible.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._pids: dict[str, tuple[int, int]] = {}
        """By UUID: pid and start time of the emulator."""
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

        A domain is left out if no process, or more than one, carries its UUID.
        """
        found = {uuid: start for uuid in uuids if (start := self._still_running(uuid))}
        if len(found) < len(uuids) and self._scan_in_time():
            pids = self._pids
            found |= {uuid: pids[uuid][1] for uuid in uuids if uuid in pids}
        return found

    def _scan_in_time(self) -> bool:
        """Scan on a thread of its own; return whether a scan was due and ended in time."""
        began = time.monotonic()
        if began < self._next_scan or (self._scanner is not None and self._scanner.is_alive()):
            return False
        self._scanner = threading.Thread(target=self._scan, name="process-scan", daemon=True)
        self._scanner.start()
        self._scanner.join(_SCAN_LIMIT)
        ended = time.monotonic()
        self._next_scan = ended + _SCAN_SHARE * (ended - began)
        return not self._scanner.is_alive()

    def _still_running(self, uuid: str) -> int:
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
        # Two libvirts on one host may run domains of the same UUID, as in a migration between them.
        self._pids = {uuid: processes[0] for uuid, processes in found.items() if len(processes) == 1}

    def _start_of(self, pid: int) -> int:
        """Return when a process started; 0 if it is gone or dead."""
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
