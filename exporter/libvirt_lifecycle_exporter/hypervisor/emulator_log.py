"""Find the reason why an emulator ended in its log, which libvirt keeps.

Guests and users can write to that log. So only its last 16 KiB are read, without following links and without
blocking. The result is one line of plain text. A log that cannot be read contains no reason.

Invariant: a line that does not explain the end is never returned (start-up messages, libvirt's own records,
warnings, debug output of SPICE). If the log contains only such lines, there is no reason.
"""

import datetime as dt
import os
import re
import stat
from itertools import dropwhile
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from libvirt_lifecycle_exporter.model.text import plain

_MAX_LINES = 4
_MAX_BYTES = 16 * 1024
"""Bytes that are read from the end of a log."""

START_UP: Final = 10.0
"""Seconds after libvirt's "starting up" in which output is not a reason, unless the run also ends in them."""

_LIBVIRT_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d [\d:.]+\+\d{4}): ")
_EMULATOR_STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z) ")
"""QEMU writes it because libvirt sets ``-msg timestamp=on``."""
_STARTING = "starting up "
_SHUTTING_DOWN = re.compile(r"shutting down(?:, reason=\w+)?")

NOISE: Final = (
    ("libvirt's record of the end", rf"^{_SHUTTING_DOWN.pattern}$"),
    ("libvirt's record of a tainted domain", r"^Domain id=\d+ is "),
    ("the terminal of a serial console", r"\bchar device redirected to "),
    ("warnings, which do not end an emulator", r"(?:^|: )(?:warning|info): "),
    ("deprecated options", r" (?:is|are) deprecated\b"),
    ("a guessed image format", r"^WARNING: Image format was not specified for "),
    (
        "a guessed image format, continued",
        r"^(?:Automatically detecting the format is|Specify the '\S+' format) ",
    ),
    (
        "SPICE's debug output",
        r"^(?:main_(?:channel|dispatcher)|reds?|inputs|snd|cursor|display|dcc|spice|playback)_\w+:( |$)",
    ),
    ("GLib's messages below critical", r"^\(.*?:\d+\): \S+-(?i:warning|message|info|debug) \*\*:"),
    ("sound and USB libraries", r"^(?:ALSA lib |alsa: |pulseaudio: |libusb: |usbredirparser: |libust\[)"),
    (
        "the registers of a virtual CPU",
        r"^(?:[A-Z]{2}[A-Z0-9]? ?=|R\d+ ?=|[CD]R\d ?=|EFER=|FCW=|FPR\d|XMM\d|Code=)",
    ),
)
"""Description, and regular expression for a line without its time stamp."""

_NOISE = re.compile("|".join(pattern for _, pattern in NOISE))
_COMMAND_LINE = re.compile(r"^(?:[A-Z][A-Z0-9_]*=\S* \\|/\S+ \\|-\S+.*)$")
"""libvirt writes the emulator's command line to the log, one argument per line."""

_DIRECTORIES = {"qemu": "qemu", "lxc": "lxc", "libxl": "libxl", "xen": "libxl", "ch": "ch"}
_SESSION_DIRECTORIES = {"qemu": "qemu/log"}


def local_driver(uri: str) -> str:
    """Return the driver of a connection whose domains run on this host; "" for connections to others."""
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    return "" if parts.hostname or transport not in ("", "unix") else driver


def log_directory(uri: str, configured: str) -> Path | None:
    """Return the directory of a connection's emulator logs: ``configured``, or libvirt's default.

    Return None for drivers without such logs, and for connections to other hosts.
    """
    if configured:
        return Path(configured)
    driver = local_driver(uri)
    if driver not in _DIRECTORIES:
        return None
    if urlsplit(uri).path == "/session":
        try:
            cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        except RuntimeError:  # neither HOME nor an entry in the user database
            return None
        return Path(cache) / "libvirt" / _SESSION_DIRECTORIES.get(driver, f"{driver}/log")
    return Path("/var/log/libvirt") / _DIRECTORIES[driver]


class _Line(NamedTuple):
    """A line of a log."""

    at: float | None
    """Unix time, if the line has a time stamp."""
    text: str
    """Without the time stamp; plain text."""
    is_from_libvirt: bool
    """Whether libvirt wrote it, not the emulator."""


def read_end_reason(directory: Path | None, name: str, at: float | None = None) -> str:
    """Return the reason for an event in the current or last run of a domain, from its emulator's log.

    ``at``: when the event happened (Unix time, seconds); None if unknown. Returns "" if there is no reason.
    """
    if directory is None or "/" in name or name.startswith("."):
        return ""
    started: float | None = None
    lines: list[_Line] = []
    for raw in _read_end(directory / f"{name}.log").splitlines():
        if _COMMAND_LINE.match(raw.strip()):
            continue
        line = _parse(raw)
        if line.is_from_libvirt and line.text.startswith(_STARTING):
            started = line.at
            lines.clear()
        else:
            lines.append(line)
    reasons = [line.text for line in _after_start_up(lines, started, at) if _is_reason(line.text)]
    return plain("; ".join(reasons[-_MAX_LINES:]))


def _parse(raw: str) -> _Line:
    for stamp, is_from_libvirt in ((_LIBVIRT_STAMP, True), (_EMULATOR_STAMP, False)):
        if found := stamp.match(raw):
            return _Line(_unix_time(found[1]), plain(raw[found.end() :]), is_from_libvirt)
    return _Line(None, plain(raw), is_from_libvirt=False)


def _unix_time(stamp: str) -> float | None:
    try:
        return dt.datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_reason(text: str) -> bool:
    return bool(text) and not _NOISE.search(text)


def _after_start_up(lines: list[_Line], started: float | None, at: float | None) -> list[_Line]:
    """Drop the lines up to the last one written at start-up, unless the run ended at start-up."""
    if started is None:
        return lines
    ends = [line.at for line in lines if line.is_from_libvirt and _SHUTTING_DOWN.fullmatch(line.text)]
    end = ends[-1] if ends else at
    if end is None or end - started <= START_UP:
        return lines

    def is_later(line: _Line) -> bool:
        return line.at is None or line.is_from_libvirt or line.at - started > START_UP

    later = len(list(dropwhile(is_later, reversed(lines))))
    return lines[later:]


def _read_end(path: Path) -> str:
    """Return the end of a regular file, whole lines if there are any; "" if it cannot be read."""
    try:
        # O_NONBLOCK: the path may be a named pipe.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            return ""
        start = max(0, status.st_size - _MAX_BYTES)
        end = os.pread(opened, _MAX_BYTES, start).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(opened)
    # The first, incomplete line may be part of the command line without matching its pattern.
    return end.partition("\n")[2] or end if start else end
