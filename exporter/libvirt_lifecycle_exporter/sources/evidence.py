"""Why, in words: the free-form part that the RFC asked for. Best effort, bounded, off the event path.

Law: what is read is half written by guests and users, so it is read without following links or blocking,
a bounded piece of it, and what leaves here is one clean line of plain text.
"""

import os
import re
import stat
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from libvirt_lifecycle_exporter.text import clean

_TAIL = 16 * 1024
"""Bytes of a log's end that are read."""
_LINES = 4
_LENGTH = 800
"""Lines and characters of evidence."""
_KERNEL_LOG = Path("/dev/kmsg")
_KERNEL_RECORDS = 4000
_KERNEL_READS = 200_000
"""A kernel that writes faster than it is read is not read for ever."""

_STARTING = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+\+\d{4}: starting up ")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+\+\d{4}: ")
_COMMAND_LINE = re.compile(r"^(?:[A-Z][A-Z0-9_]*=\S* \\|/\S+ \\|-\S+.*)$")
"""libvirt writes the emulator's whole command line into its log, an argument a line."""

_FOLDERS = {"qemu": "qemu", "lxc": "lxc", "libxl": "libxl", "xen": "libxl", "ch": "ch"}
_IN_SESSION = {"qemu": "qemu/log"}


def log_folder(uri: str, given: str) -> Path | None:
    """Return where the emulators of a connection write their logs: ``given``, or where libvirt has them.

    None for drivers that have no such logs, and for connections to other hosts.
    """
    if given:
        return Path(given)
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    if parts.hostname or transport not in ("", "unix") or driver not in _FOLDERS:
        return None
    if parts.path == "/session":
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(cache) / "libvirt" / _IN_SESSION.get(driver, f"{driver}/log")
    return Path("/var/log/libvirt") / _FOLDERS[driver]


def emulator_says(folder: Path | None, name: str) -> str:
    """Return the last words of a domain's emulator in its present or last run; "" if there are none."""
    if folder is None or "/" in name or name.startswith("."):
        return ""
    said: list[str] = []
    for line in _tail(folder / f"{name}.log").splitlines():
        if _STARTING.match(line):
            said.clear()
        elif not _COMMAND_LINE.match(line.strip()):
            said.append(_plain(_STAMP.sub("", line)))
    return clean("; ".join([line for line in said if line][-_LINES:]), _LENGTH)


def kernel_says(domain_id: int, path: Path = _KERNEL_LOG) -> str:
    """Return the kernel's word that it killed a domain's emulator for want of memory; "" if it did not."""
    scope = f"machine-qemu\\x2d{domain_id}\\x2d"
    for line in reversed(_kernel_lines(path)):
        if "oom-kill:" in line and (scope in line or scope.replace("\\", "\\x5c") in line):
            return clean(f"killed by the kernel, out of memory: {_plain(line.partition(';')[2])}", _LENGTH)
    return ""


def _plain(text: str) -> str:
    # Unprintable are also the invisible marks that turn the direction of what follows.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _tail(path: Path) -> str:
    """Read the end of a regular file; "" where that cannot be had."""
    try:
        # O_NONBLOCK: somebody may have put a pipe in its place.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            return ""
        return os.pread(opened, _TAIL, max(0, status.st_size - _TAIL)).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(opened)


def _kernel_lines(path: Path) -> deque[str]:
    """Read what the kernel's log holds now, without waiting for more; the newest of it is kept."""
    lines: deque[str] = deque(maxlen=_KERNEL_RECORDS)
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return lines
    try:
        for _ in range(_KERNEL_READS):
            try:
                record = os.read(opened, 8192)
            except BrokenPipeError:
                # Overwritten while it was read: the next one is there.
                continue
            if not record:
                break
            lines.extend(record.decode("utf-8", "replace").splitlines())
    except OSError:
        # Nothing more for now.
        pass
    finally:
        os.close(opened)
    return lines
