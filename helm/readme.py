"""The chart's README: README.in.md, with a table of the values in the place of ``{{ values }}``.

The comment above a value in values.yaml is its description. Values of a key without comments (such as a
securityContext) are shown whole.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w.-]*):(?: .*)?")
_STEP = 2


class Value(NamedTuple):
    """One row of the table."""

    path: str
    default: str
    description: str


class UndocumentedError(ValueError):
    """A value has no comment."""


def readme(chart: Path) -> str:
    """Return the README."""
    rows = "\n".join(
        f"| `{value.path}` | {value.description} | `{value.default}` |"
        for value in values(chart / "values.yaml")
    )
    table = f"| value | | default |\n| --- | --- | --- |\n{rows}"
    return (chart.parent / "README.in.md").read_text().replace("{{ values }}", table)


def values(path: Path) -> list[Value]:
    """Return all values of the file, in its order. Raises UndocumentedError."""
    text = path.read_text()
    described = dict(_described(text))
    return list(_rows(yaml.safe_load(text), "", described, path.name))


def _described(text: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted path of each key that has a comment, and the comment."""
    comment: list[str] = []
    parents: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip()[1:].strip())
            continue
        found = _LINE.fullmatch(line)
        if found:
            parents[len(found["indent"]) // _STEP :] = [found["key"]]
            if comment:
                yield ".".join(parents), " ".join(comment)
        comment = []


def _rows(thing: dict[str, Any], prefix: str, described: dict[str, str], name: str) -> Iterator[Value]:
    for key, value in thing.items():
        path = f"{prefix}{key}"
        within = isinstance(value, dict) and any(known.startswith(f"{path}.") for known in described)
        if within:
            yield from _rows(value, f"{path}.", described, name)
        elif path not in described:
            raise UndocumentedError(f"{name}: {path} has no comment that says what it is for")
        else:
            yield Value(path, json.dumps(value), described[path].replace("|", "\\|"))
