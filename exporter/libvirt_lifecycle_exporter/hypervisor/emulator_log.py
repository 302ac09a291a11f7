"""Find the reason why an emulator ended in the log that libvirt keeps of it.

Guests and users write half of that log. It is read without following links and without waiting, its last
16 KiB only. The result is one line of plain text. A log that cannot be read gives no reason.

Invariant: a line that does not explain an end is never returned (start-up messages, libvirt's own records,
warnings, SPICE's debug output). If nothing else is there, there is no reason.
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

_LINES = 4
_TAIL = 16 * 1024
"""Bytes of a log's end that are read."""

START_UP: Final = 10.0
"""Seconds after libvirt's "starting up" in which output is no reason, unless the run ends in them."""

_LIBVIRT_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d [\d:.]+\+\d{4}): ")
_EMULATOR_STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z) ")
"""QEMU writes it because libvirt starts it with ``-msg timestamp=on``."""
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
"""What it is, and the regular expression that finds it in a line without its time stamp."""

_NOISE = re.compile("|".join(pattern for _, pattern in NOISE))
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
        try:
            cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        except RuntimeError:  # neither HOME nor an entry in the user database
            return None
        return Path(cache) / "libvirt" / _IN_SESSION.get(driver, f"{driver}/log")
    return Path("/var/log/libvirt") / _FOLDERS[driver]


class _Line(NamedTuple):
    """A line of a log."""

    at: float | None
    """Unix time, if the line has a time stamp."""
    text: str
    """Without the time stamp; plain text."""
    is_libvirts: bool
    """Whether libvirt wrote it, not the emulator."""


def emulator_says(folder: Path | None, name: str, at: float | None = None) -> str:
    """Return the reason that a domain's emulator gives for an event in its current or last run.

    ``at``: when the event happened (Unix time); None if unknown. Returns "" if there is no reason.
    """
    if folder is None or "/" in name or name.startswith("."):
        return ""
    started: float | None = None
    lines: list[_Line] = []
    for raw in _tail(folder / f"{name}.log").splitlines():
        if _COMMAND_LINE.match(raw.strip()):
            continue
        line = _parse(raw)
        if line.is_libvirts and line.text.startswith(_STARTING):
            started = line.at
            lines.clear()
        else:
            lines.append(line)
    reasons = [line.text for line in _after_start_up(lines, started, at) if _is_reason(line.text)]
    return plain("; ".join(reasons[-_LINES:]))


def _parse(raw: str) -> _Line:
    for stamp, is_libvirts in ((_LIBVIRT_STAMP, True), (_EMULATOR_STAMP, False)):
        if found := stamp.match(raw):
            return _Line(_unix_time(found[1]), plain(raw[found.end() :]), is_libvirts)
    return _Line(None, plain(raw), is_libvirts=False)


def _unix_time(stamp: str) -> float | None:
    try:
        return dt.datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_reason(text: str) -> bool:
    return bool(text) and not _NOISE.search(text)


def _after_start_up(lines: list[_Line], started: float | None, at: float | None) -> list[_Line]:
    """Drop the lines up to the last one written at start-up, unless the run ended at start-up itself."""
    if started is None:
        return lines
    ends = [line.at for line in lines if line.is_libvirts and _SHUTTING_DOWN.fullmatch(line.text)]
    end = ends[-1] if ends else at
    if end is None or end - started <= START_UP:
        return lines

    def is_later(line: _Line) -> bool:
        return line.at is None or line.is_libvirts or line.at - started > START_UP

    later = len(list(dropwhile(is_later, reversed(lines))))
    return lines[later:]


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
