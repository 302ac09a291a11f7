"""The kernel's word that it killed a domain's emulator for want of memory, from /dev/kmsg.

Law: a record speaks of a domain if it is the kernel's own, names the cgroup that libvirt made for that very
name and id, and lies shortly before the domain stopped. An id alone says nothing: ids begin anew.
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
"""Those that give each domain a cgroup."""
BEFORE = 60.0
"""Seconds from a kill to the stop that it causes: what has terabytes to give back does not end at once."""
AFTER = 5.0
"""Seconds that the kernel's clock and ours may be apart."""

_PIECE = 8192
"""Bytes: more than any record has."""
_READS = 200_000
"""A kernel that writes faster than it is read is not read for ever."""
_MACHINE_NAME = 64
"""Characters of a machine's name at the most."""

_RECORD = re.compile(r"(?P<prefix>\d+),\d+,(?P<microseconds>\d+),(?P<flag>[^,;]*)[^;]*;(?P<text>.*)")
_FACILITY = 8
"""Prefixes below are of facility 0, the kernel: nobody else can write them."""
_FRAGMENT = "c"
_KILL = "oom-kill:constraint="
_CGROUP = ",task_memcg="
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")

_WHY: Final = MappingProxyType(
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
    words: str


def kernel_says(driver: str, subject: EvidenceRequest, log: Path = KERNEL_LOG) -> str:
    """Return why the kernel killed the emulator of a domain that stopped; "" if it is not known to have."""
    if driver not in DRIVERS:
        return ""
    groups = cgroups(driver, subject.domain_id, subject.name)
    ago = time.time() - subject.at
    # Which of the two is closer to the kernel log's own clock depends on the machine.
    stops = [time.clock_gettime(clock) - ago for clock in (time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW)]
    found = ""
    for kill in _kills(_records(log)):
        if min(stops) - BEFORE <= kill.at <= max(stops) + AFTER and groups & set(kill.cgroup.split("/")):
            found = kill.words
    return found


def cgroups(driver: str, domain_id: int, name: str) -> frozenset[str]:
    """Return what libvirt calls a domain's cgroup, with systemd and without."""
    machine = machine_name(driver, domain_id, name)
    scope = machine.replace("-", "\\x2d")
    return frozenset((f"machine-{scope}.scope", f"{machine}.libvirt-{driver}"))


def machine_name(driver: str, domain_id: int, name: str) -> str:
    """Return the name that libvirt gives a domain towards systemd-machined: what a host name may hold of it.

    libvirt's src/hypervisor/domain_driver.c, virDomainDriverGenerateMachineName; in src/util/virsystemd.c and
    vircgroup.c it becomes the cgroup's name.
    """
    machine = f"{driver}-{domain_id}-"
    separated = True
    for letter in name:
        if len(machine) >= _MACHINE_NAME:
            break
        separator = letter in ".-"
        if (separator and not separated) or (letter.isascii() and letter.isalnum()):
            machine += letter
            separated = separator
    return machine.rstrip(".-")


def _kills(records: Iterable[str]) -> Iterator[_Kill]:
    for at, text in _lines(records):
        # Who may make cgroups may give them names that look like fields: then nothing is sure.
        if not text.startswith(_KILL) or text.count(_CGROUP) != 1:
            continue
        where, _, whom = text.removeprefix(_KILL).partition(_CGROUP)
        cgroup, _, task = whom.rpartition(",task=")
        task, _, numbers = task.rpartition(",pid=")
        constraint = where.partition(",")[0]
        why = _WHY.get(constraint, "").format(limit=where.partition(",oom_memcg=")[2]) or constraint
        words = f"the kernel killed {task} (pid {numbers.partition(',')[0]}): {why}"
        yield _Kill(at, cgroup, plain(words))


def _lines(records: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Yield the kernel's lines with their times; those that were written in pieces are put together."""
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


def _records(path: Path) -> Iterator[str]:
    """Yield what the kernel's log holds now, a line at a time, without waiting for more."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    rest = b""
    try:
        for _ in range(_READS):
            try:
                piece = os.read(opened, _PIECE)
            except BrokenPipeError:
                # Overwritten while it was read: the next one is there.
                continue
            if not piece:
                break
            *lines, rest = (rest[-_PIECE:] + piece).split(b"\n")
            for line in lines:
                yield line.decode("latin-1")
    except OSError:
        # Nothing more for now.
        pass
    finally:
        os.close(opened)
