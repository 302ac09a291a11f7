"""Reads the thresholds: the shipped ones, and on top an operator's own, which need say only what differs.

Law: what is not in the shipped file is a mistake, told in one sentence.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent / "thresholds.toml"
OFF = "off"
METRICSQL = "metricsql"
_WORDS = {"severity": ("critical", "warning", "info", OFF), "dialect": ("promql", METRICSQL)}

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_DURATION = re.compile("".join(rf"(\d+{unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms")))
"""https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations"""
_MAY_BE_NOTHING = ("for", "keep")
_LABEL = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")

Table = dict[str, Any]


def load(own: Path | None = None) -> dict[str, Table]:
    """Return the thresholds by table; ValueError if ``own`` cannot be meant, OSError if it is not there."""
    tables = tomllib.loads(SHIPPED.read_text())
    if own is None:
        return tables
    for name, table in tomllib.loads(own.read_text()).items():
        if name not in tables or not isinstance(table, dict):
            raise ValueError(f"There is no alert or table named {name}.")
        for key, value in table.items():
            _check(name, key, tables[name].get(key), value)
        tables[name] |= table
    return tables


def _check(name: str, key: str, shipped: object, value: object) -> None:
    if shipped is None:
        raise ValueError(f"{name} has no {key}.")
    wanted = _wanted(key, shipped, value)
    if wanted:
        raise ValueError(f"{name}: {key} is {wanted}.")


def _wanted(key: str, shipped: object, value: object) -> str:
    """Say what a value is to be, if it is not."""
    is_alike = isinstance(value, type(shipped)) or (isinstance(shipped, float) and isinstance(value, int))
    if isinstance(value, bool) or not is_alike:
        return f"to be like {shipped!r}, not {value!r}"
    if key in _WORDS and value not in _WORDS[key]:
        return f"one of {', '.join(_WORDS[key])}, not {value!r}"
    if is_duration(shipped):
        return _wanted_duration(key, str(value))
    if isinstance(value, int | float):
        least = 1 if isinstance(shipped, int) else 0
        return "" if least <= value < math.inf else f"to be {least} or more, not {value!r}"
    if isinstance(value, list):
        labels = value and all(isinstance(one, str) and _LABEL.fullmatch(one) for one in value)
        return "" if labels else f"to be a list of labels such as {shipped!r}, not {value!r}"
    return _wanted_expression(str(value)) if key == "job" else ""


def _wanted_duration(key: str, value: str) -> str:
    if not is_duration(value):
        return f"to be a duration such as 90s or 15m, not {value!r}"
    return "" if seconds(value) or key in _MAY_BE_NOTHING else f"to be longer than {value}"


def _wanted_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        return f"to be a regular expression, not {value!r}: {error}"
    return ""


def is_duration(value: object) -> bool:
    """Tell whether a value is a duration as Prometheus writes it."""
    return isinstance(value, str) and value != "" and _DURATION.fullmatch(value) is not None


def seconds(duration: str) -> float:
    """Return a duration's seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def words(table: Mapping[str, Any]) -> dict[str, str]:
    """Return what a table's thresholds are called in expressions and texts: durations in seconds, too."""
    named = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in table.items()}
    for key, value in table.items():
        if is_duration(value):
            named[f"{key}_s"] = f"{seconds(value):g}"
    return named
