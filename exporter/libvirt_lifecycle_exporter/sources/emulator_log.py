"""The last words of an emulator, from the log that libvirt keeps of it.

Law: guests and users write half of it, so it is read without following links or waiting, a bounded piece of
it, and what leaves here is one line of plain text. What cannot be read says nothing; nothing is raised.
"""

import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

from libvirt_lifecycle_exporter.text import plain

_LINES = 4
_TAIL = 16 * 1024
"""Bytes of a log's end that are read."""

_STARTING = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+\+\d{4}: starting up ")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+\+\d{4}: ")
_BESIDE = re.compile(r"^Domain id=\d+ is tainted: ")
"""Said at the start, by libvirt: how the domain is set up, not why it came to an end."""
_COMMAND_LINE = re.compile(r"^(?:[A-Z][A-Z0-9_]*=\S* \\|/\S+ \\|-\S+.*)$")
"""libvirt writes the emulator's whole command line into its log, an argument a line."""

_FOLDERS = {"qemu": "qemu", "lxc": "lxc", "libxl": "libxl", "xen": "libxl", "ch": "ch"}
_IN_SESSION = {"qemu": "qemu/log"}


def local_driver(uri: str) -> str:
    """Return the driver of a connection whose domains run on this host; "" for connections to others."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    return "" if parts.hostname or transport not in ("", "unix") else driver


def log_folder(uri: str, given: str) -> Path | None:
    """Return where the emulators of a connection write their logs: ``given``, or where libvirt has them.

    None for drivers that have no such logs, and for connections to other hosts.
    """
    if given:
        return Path(given)
    driver = local_driver(uri)
    if driver not in _FOLDERS:
        return None
    if urlsplit(uri).path == "/session":
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
            said.append(plain(_STAMP.sub("", line)))
    words = [line for line in said if line and not _BESIDE.match(line)]
    return plain("; ".join(words[-_LINES:]))


def _tail(path: Path) -> str:
    """Read the end of a regular file, whole lines if there are any; "" where that cannot be had."""
    try:
        # O_NONBLOCK: somebody may have put a pipe in its place.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            return ""
        start = max(0, status.st_size - _TAIL)
        end = os.pread(opened, _TAIL, start).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(opened)
    # The piece of a line at its beginning may be of the command line, and not look like it.
    return end.partition("\n")[2] or end if start else end
