"""Formatting of times, durations and untrusted text. Pure functions.

Invariant: ``escape`` returns no character that controls a terminal, is invisible, or changes text direction.
"""

import datetime as dt

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
"""Unit and its size in seconds."""


def escape(text: str) -> str:
    r"""Return a text with unprintable characters as Python escapes: ``\n``, ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line(text: str) -> str:
    """Return an escaped text with each run of white space as one blank."""
    return escape(" ".join(text.split()))


def format_utc(at: float) -> str:
    """Return a Unix time in ISO 8601, UTC, with milliseconds."""
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_local(at: float) -> str:
    """Return a Unix time in the local time zone, to the second."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``3m 12s``, ``2d 4h``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts or unit == "s":
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])
