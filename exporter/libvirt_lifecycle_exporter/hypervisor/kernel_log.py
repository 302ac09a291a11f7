"""Find out from /dev/kmsg whether the kernel's OOM killer killed a domain's emulator.

Invariant: a record belongs to a domain only if the kernel wrote it, it names the cgroup that libvirt created
for this domain name and id, and it was written shortly before the domain stopped. The id alone is not
sufficient: ids are reused.
Format: https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.text import plain

KERNEL_LOG = Path("/dev/kmsg")
DRIVERS = frozenset({"qemu", "lxc", "ch"})
"""Drivers that create a cgroup for each domain."""
MAX_STOP_DELAY = 60.0
"""Seconds from a kill to the stop that it causes: a process with terabytes of memory needs time to exit."""
CLOCK_TOLERANCE = 5.0
"""Maximum difference between the clock of the kernel log and the exporter's clock; seconds."""

_READ_SIZE = 8192
"""Bytes; larger than any record."""
_MAX_READS = 200_000
"""Limit for a kernel that writes faster than the exporter reads."""
_MAX_MACHINE_NAME = 64
"""Maximum length of a machine name in characters."""

_RECORD = re.compile(r"(?P<prefix>\d+),\d+,(?P<microseconds>\d+),(?P<flag>[^,;]*)[^;]*;(?P<text>.*)")
_FACILITY = 8
"""Prefixes below this number have facility 0, the kernel. User space cannot write them."""
_FRAGMENT = "c"
_KILL = "oom-kill:constraint="
_CGROUP = ",task_memcg="
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")

_CONSTRAINTS: Final = MappingProxyType(
    {
        "CONSTRAINT_NONE": "the host is out of memory",
        "CONSTRAINT_MEMCG": "the memory limit of {limit} is reached",
        "CONSTRAINT_CPUSET": "the memory nodes of its cpuset are full",
        "CONSTRAINT_MEMORY_POLICY": "the memory nodes of its policy are full",
    }
)


class _Kill(NamedTuple):
    at: float
    """Seconds since boot."""
    cgroup: str
    text: str


def find_oom_kill(driver: str, request: EvidenceRequest, log: Path = KERNEL_LOG) -> str:
    """Return why the kernel killed the emulator of a stopped domain; "" if no such record exists."""
    if driver not in DRIVERS:
        return ""
    groups = cgroup_names(driver, request.domain_id, request.name)
    ago = time.time() - request.at
    # Which of the two clocks is closer to the clock of the kernel log depends on the machine.
    stops = [time.clock_gettime(clock) - ago for clock in (time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW)]
    found = ""
    for kill in _parse_kills(_read_records(log)):
        is_recent = min(stops) - MAX_STOP_DELAY <= kill.at <= max(stops) + CLOCK_TOLERANCE
        if is_recent and groups & set(kill.cgroup.split("/")):
            found = kill.text
    return found


def cgroup_names(driver: str, domain_id: int, name: str) -> frozenset[str]:
    """Return the names that libvirt gives a domain's cgroup, with systemd and without."""
    machine = machine_name(driver, domain_id, name)
    scope = machine.replace("-", "\\x2d")
    return frozenset((f"machine-{scope}.scope", f"{machine}.libvirt-{driver}"))


def machine_name(driver: str, domain_id: int, name: str) -> str:
    """Return the name under which libvirt registers a domain with systemd-machined: a valid host name.

    Follows virDomainDriverGenerateMachineName in libvirt's src/hypervisor/domain_driver.c. libvirt derives
    the cgroup's name from it in src/util/virsystemd.c and vircgroup.c.
    """
    machine = f"{driver}-{domain_id}-"
    separated = True
    for letter in name:
        if len(machine) >= _MAX_MACHINE_NAME:
            break
        separator = letter in ".-"
        if (separator and not separated) or (letter.isascii() and letter.isalnum()):
            machine += letter
            separated = separator
    return machine.rstrip(".-")


def _parse_kills(records: Iterable[str]) -> Iterator[_Kill]:
    for at, text in _join_fragments(records):
        # A user who may create cgroups may choose names that look like fields; such a line is ambiguous.
        if not text.startswith(_KILL) or text.count(_CGROUP) != 1:
            continue
        constraint_part, _, task_part = text.removeprefix(_KILL).partition(_CGROUP)
        cgroup, _, task = task_part.rpartition(",task=")
        task, _, numbers = task.rpartition(",pid=")
        constraint = constraint_part.partition(",")[0]
        limit = constraint_part.partition(",oom_memcg=")[2]
        reason = _CONSTRAINTS.get(constraint, "").format(limit=limit) or constraint
        pid = numbers.partition(",")[0]
        yield _Kill(at, cgroup, plain(f"the kernel killed {task} (pid {pid}): {reason}"))


def _join_fragments(records: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Yield the kernel's lines with their times; lines written as several records are joined."""
    at, line = 0.0, ""
    for record in records:
        found = _RECORD.fullmatch(record)
        if found is None or int(found["prefix"]) >= _FACILITY:
            continue
        text = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), found["text"])
        if found["flag"] == _FRAGMENT and line:
            line += text
            continue
        yield at, line
        at, line = int(found["microseconds"]) / 1e6, text
    yield at, line


def _read_records(path: Path) -> Iterator[str]:
    """Yield the current lines of the kernel log, without waiting for new ones."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    rest = b""
    try:
        for _ in range(_MAX_READS):
            try:
                data = os.read(opened, _READ_SIZE)
            except BrokenPipeError:
                # The record was overwritten before it was read; the next read returns a newer one.
                continue
            if not data:
                break
            *lines, rest = (rest[-_READ_SIZE:] + data).split(b"\n")
            for line in lines:
                yield line.decode("latin-1")
    except OSError:
        # EAGAIN: no further record.
        pass
    finally:
        os.close(opened)
