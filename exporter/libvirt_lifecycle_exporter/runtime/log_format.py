"""Log lines on standard error, as logfmt or JSON; one line each, whatever they quote."""

import datetime as dt
import json
import logging
import re
import sys

_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")


def setup(level: str, style: str) -> None:
    """Send the log to standard error. ``style``: ``logfmt`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_STYLES[style]())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its start and end are ours to tell.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _Fields(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, str]:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        said = {
            "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("libvirt_lifecycle_exporter."),
            "msg": record.getMessage(),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return said


class Logfmt(_Fields):
    """``key=value`` pairs, quoted where needed."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quoted(value)}" for key, value in self.fields(record).items())


class Json(_Fields):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record))


_STYLES: dict[str, type[_Fields]] = {"logfmt": Logfmt, "json": Json}


def _quoted(value: str) -> str:
    # A JSON string is a logfmt string, and escapes what would break the line.
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
