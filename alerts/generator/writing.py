"""Writes groups of rules as YAML, with nothing but Python: no library for it comes with Python."""

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

HEAD = """\
# Made by `make rules` from thresholds.toml and generator/: change those, not this file.
# Loadable as it is: rule_files of Prometheus, Thanos ruler, vmalert; README.md says how.
"""


def document(groups: Iterable[Mapping[str, Any]]) -> str:
    """Return the file."""
    return HEAD + "groups:\n" + "".join(_group(group) for group in groups)


def _group(group: Mapping[str, Any]) -> str:
    head = [f"  - name: {group['name']}\n"]
    if "interval" in group:
        head.append(f"    interval: {group['interval']}\n")
    return "".join([*head, "    rules:\n", *(_rule(rule) for rule in group["rules"])])


def _rule(rule: Mapping[str, Any]) -> str:
    lines = textwrap.indent("".join(_entry(key, value) for key, value in rule.items()), " " * 8)
    return f"      - {lines.lstrip()}"


def _entry(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return f"{key}:\n" + textwrap.indent("".join(_entry(*item) for item in value.items()), "  ")
    text = str(value)
    if "\n" in text:
        return f"{key}: |2-\n{textwrap.indent(textwrap.dedent(text), '  ')}\n"
    return f"{key}: {_scalar(text)}\n"


def _scalar(text: str) -> str:
    if text.isalnum():
        return text
    if '"' in text:
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=False)
