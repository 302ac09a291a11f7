"""Reads the thresholds: the shipped ones, and on top an operator's own, which need say only what differs.

Law: what is not in the shipped file is a mistake, told in one sentence.
"""

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
_DURATION = re.compile(rf"({_PART.pattern})+")

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
    numbers = isinstance(shipped, int | float) and isinstance(value, int | float)
    if isinstance(value, bool) or not (numbers or isinstance(value, type(shipped))):
        raise ValueError(f"{name}: {key} is to be like {shipped!r}, not {value!r}.")
    if key in _WORDS and value not in _WORDS[key]:
        raise ValueError(f"{name}: {key} is one of {', '.join(_WORDS[key])}, not {value!r}.")
    if is_duration(shipped) and not is_duration(value):
        raise ValueError(f"{name}: {key} is to be a duration such as 90s or 15m, not {value!r}.")


def is_duration(value: object) -> bool:
    """Tell whether a value is a duration as Prometheus writes it."""
    return isinstance(value, str) and _DURATION.fullmatch(value) is not None


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
