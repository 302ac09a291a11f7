"""Metrics, labels and label values in the expressions of the rules."""

import re
from collections.abc import Iterator
from typing import NamedTuple

SELECTOR = re.compile(r"(?<![\w:\"])([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
NAME = re.compile(r"(?<![\w:$\"])((?:libvirt_|process_|connection:|job:|domain:)[\w:]+|up\b)")
LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    metric: str
    label: str
    values: tuple[str, ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Yield each label in a selector with the values it is compared with."""
    for metric, matchers in SELECTOR.findall(expression):
        for label, _, value in MATCHER.findall(matchers):
            yield Selector(metric, label, tuple(value.split("|")))


def metrics(expression: str) -> set[str]:
    """Return the metrics in an expression."""
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', expression)))


def labels(expression: str) -> set[str]:
    """Return the labels that an expression groups or joins by."""
    return {
        label.strip()
        for listed in LABEL_LIST.findall(expression)
        for label in listed.split(",")
        if label.strip()
    }
