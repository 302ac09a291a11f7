"""The words that a selection may name: tables of the rooms that make them, joined."""

import datetime as dt
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from libvirt_lifecycle_exporter.cli.formatting import harmless
from libvirt_lifecycle_exporter.config.settings import duration
from libvirt_lifecycle_exporter.engine.classify import DIAGNOSED
from libvirt_lifecycle_exporter.engine.inference import UNKNOWN
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, HANG_PAIRS, HANG_SIGNALS

EVENTS: Final = tuple(dict.fromkeys(event for event, _ in (*ALL_PAIRS, *HANG_PAIRS)))
"""Every event that a journal can hold, but for unknown ones."""

REASONS: Final = tuple(
    dict.fromkeys(
        [
            *(reason for _, reason in ALL_PAIRS),
            *sorted(set().union(*DIAGNOSED.values())),
            *HANG_SIGNALS,
            UNKNOWN,
        ]
    )
)
"""Every reason, but for unknown numbers."""


def one_of(what: str, known: Sequence[str]) -> Callable[[str], str]:
    """Make a reader of words that are known, or ``unknown_<n>``; it raises ValueError for others."""

    def read(text: str) -> str:
        if text in known or re.fullmatch(r"unknown_(-?[0-9]+|other)", text):
            return text
        raise ValueError(f'"{harmless(text)}" is no {what}; there are {", ".join(map(harmless, known))}')

    return read


def moment(text: str) -> float:
    """Read a duration before now, or a date or time in ISO 8601; return Unix time. Raises ValueError.

    A date is its midnight. Without a time zone, the local one applies.
    """
    try:
        return time.time() - duration(text)
    except ValueError:
        pass
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f'"{harmless(text)}" is no duration or time; '
            "use e.g. 15m, 24h, 7d, 2026-01-31, 2026-01-31T10:00 or 2026-01-31T10:00Z"
        ) from None


def incident(text: str) -> str:
    """Read an incident's id, or the beginning of it; raises ValueError."""
    if re.fullmatch("[0-9a-f]{1,16}", text):
        return text
    raise ValueError(
        f'"{harmless(text)}" is no incident; write its id as incidents shows it, or its beginning'
    )


def names(expression: str) -> Callable[[str], bool]:
    """Read a regular expression that a domain's whole name is to match; raises ValueError."""
    try:
        return DomainFilter(expression).passes
    except re.error as error:
        raise ValueError(f'"{harmless(expression)}" is no regular expression: {error}') from None
