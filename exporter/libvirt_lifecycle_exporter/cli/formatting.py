"""Pure: how times, durations and words from strangers are written.

Law: what ``harmless`` returns has no character that a terminal obeys or that hides or turns others.
"""

import datetime as dt

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def harmless(text: str) -> str:
    r"""Spell what does not print as Python would: ``\n``, ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )


def one_line(text: str) -> str:
    """The same, with white space as single blanks: evidence may have several lines."""
    return harmless(" ".join(text.split()))


def utc(at: float) -> str:
    """Spell a Unix time in ISO 8601, UTC, milliseconds."""
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(at: float) -> str:
    """Spell a Unix time as the clock on the wall shows it."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def lasting(seconds: float) -> str:
    """Spell a duration by its two largest units: ``3m 12s``, ``2d 4h``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number or parts or unit == "s":
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])
