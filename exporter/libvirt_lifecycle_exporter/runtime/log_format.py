"""Log lines on standard error, as logfmt or JSON.

A log call has a constant message and its variables in ``extra``::

    log.warning("connection lost", extra={"connection": uri, "error": error})

    ts=2026-01-31T10:00:00.000Z level=warning logger=hypervisor.connection msg="connection lost"
    connection=qemu:///system error="end of file while reading data"

The fields follow ``msg`` in the order of ``extra``; a traceback is the last field, ``trace``. ``logging``
refuses keys that are attributes of ``logging.LogRecord`` (``name``, ``args``, ``module``, ``thread``, ...).

Invariant: one record is one line of printable ASCII, whatever its values contain.
"""

import datetime as dt
import json
import logging
import math
import re
import sys
from collections.abc import Iterator
from typing import Final

Scalar = str | int | float | bool | None

_PLAIN: Final = re.compile(r"[!#-<>-~]+")
"""A value that needs no quotes: printable ASCII without blank, quotation mark and equals sign."""
_NOT_IN_KEY: Final = re.compile(r"[^A-Za-z0-9_.]")
_NOT_EXTRA: Final = frozenset(
    {
        *vars(logging.makeLogRecord({})),
        "message",  # set by logging.Formatter.format
        "asctime",  # likewise
        "taskName",  # since Python 3.12
        "color_message",  # uvicorn's copy of the message with escape sequences
    }
)
"""Attributes of a record that do not come from the ``extra`` of the log call."""


def setup(level: str, style: str) -> None:
    """Send the log to standard error. ``style``: ``logfmt`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_STYLES[style]())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The exporter logs the start and the end of the web server itself.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _FieldFormatter(logging.Formatter):
    """Turns a record into its fields."""

    def fields(self, record: logging.LogRecord) -> dict[str, Scalar]:
        time = dt.datetime.fromtimestamp(record.created, dt.UTC)
        fields: dict[str, Scalar] = {
            "ts": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("libvirt_lifecycle_exporter."),
            "msg": record.getMessage(),
        }
        for key, value in _extra(record):
            fields.setdefault(key, value)
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return fields


class Logfmt(_FieldFormatter):
    """One line of ``key=value`` pairs; values are quoted where needed."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(_text(value))}" for key, value in self.fields(record).items())


class Json(_FieldFormatter):
    """One JSON object per line; numbers and booleans keep their type."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record))


_STYLES: dict[str, type[_FieldFormatter]] = {"logfmt": Logfmt, "json": Json}


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, Scalar]]:
    """Return the fields of the log call's ``extra``, in its order."""
    for key, value in vars(record).items():
        if key not in _NOT_EXTRA:
            yield _NOT_IN_KEY.sub("_", key), _scalar(value)


def _scalar(value: object) -> Scalar:
    """Return a value that JSON has a type for. An exception without a message becomes its type's name."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = str(value)
    return type(value).__name__ if not text and isinstance(value, BaseException) else text


def _text(value: Scalar) -> str:
    """Return a value as logfmt shows it: ``true``, ``false`` and ``null`` as in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(value: str) -> str:
    # A JSON string is a logfmt string, and escapes what would break the line.
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
