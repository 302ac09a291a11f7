"""Parsers of the options that select history: events, reasons, times, incidents, domain names.

Every parser raises ValueError with one sentence that contains no unprintable character.
"""

import datetime as dt
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from libvirt_lifecycle_exporter.cli.formatting import escape
from libvirt_lifecycle_exporter.config.settings import parse_duration
from libvirt_lifecycle_exporter.engine.classify import POSSIBLE_REASONS
from libvirt_lifecycle_exporter.engine.missed_transitions import UNKNOWN
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, HANG_PAIRS, HANG_SIGNALS

EVENTS: Final = tuple(dict.fromkeys(event for event, _ in (*ALL_PAIRS, *HANG_PAIRS)))
"""Every event that a journal can contain, except ``unknown_<n>``."""

REASONS: Final = tuple(
    dict.fromkeys(
        [
            *(reason for _, reason in ALL_PAIRS),
            *sorted(set().union(*POSSIBLE_REASONS.values())),
            *HANG_SIGNALS,
            UNKNOWN,
        ]
    )
)
"""Every reason that a journal can contain, except ``unknown_<n>``."""


def one_of(kind: str, words: Sequence[str]) -> Callable[[str], str]:
    """Return a parser that accepts the given words and ``unknown_<n>``. ``kind`` names them in the error."""

    def parse(text: str) -> str:
        if text in words or re.fullmatch(r"unknown_(-?[0-9]+|other)", text):
            return text
        raise ValueError(f'invalid {kind} "{escape(text)}": use one of {", ".join(map(escape, words))}')

    return parse


def parse_time(text: str) -> float:
    """Parse a duration before now, or a date or time in ISO 8601; return Unix time in seconds.

    A date means its midnight. Without a time zone, the local one applies.
    """
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f'invalid duration or time "{escape(text)}": '
            "use e.g. 15m, 24h, 7d, 2026-01-31, 2026-01-31T10:00 or 2026-01-31T10:00Z"
        ) from None


def parse_incident(text: str) -> str:
    """Parse the id of an incident, or its beginning."""
    if re.fullmatch("[0-9a-f]{1,16}", text):
        return text
    raise ValueError(
        f'invalid incident id "{escape(text)}": use an id from the incidents command, or its beginning'
    )


def parse_domain_pattern(expression: str) -> Callable[[str], bool]:
    """Parse a regular expression; return whether it matches a whole domain name."""
    try:
        return DomainFilter(expression).passes
    except re.error as error:
        raise ValueError(f'invalid regular expression "{escape(expression)}": {error}') from None
