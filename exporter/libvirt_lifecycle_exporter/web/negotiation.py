"""Content negotiation: format and encoding by the client's Accept and Accept-Encoding headers.

Quality values and wildcards follow https://www.rfc-editor.org/rfc/rfc9110#section-12.5: the most specific
range counts. Of two formats of equal quality, the first in the header is used, as Go's exporters do. If the
client accepts neither format, the response is plain text, not 406: that is more useful to a browser, and to a
scraper with a wrong header.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_TEXT: Final = "text/plain"
_OPENMETRICS: Final = "application/openmetrics-text"
_VERSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {_TEXT: ("", "0.0.4", "1.0.0"), _OPENMETRICS: ("", "1.0.0")}
)
"""Versions that a range may name. Text 1.0.0 differs from 0.0.4 only in UTF-8 names, which do not occur."""


class _Range(NamedTuple):
    """One element of a header."""

    position: int
    value: str
    version: str
    quality: float


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics 1.0.0 to the text format."""
    ranges = _parse_ranges(accept)
    openmetrics, text = (_media_quality(ranges, media) for media in (_OPENMETRICS, _TEXT))
    return openmetrics[0] > 0 and openmetrics > text


def prefers_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header accepts gzip with at least the quality of no encoding."""
    qualities: dict[str, float] = {}
    for item in _parse_ranges(accept_encoding):
        qualities.setdefault(item.value.removeprefix("x-"), item.quality)
    gzip = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _media_quality(ranges: list[_Range], media: str) -> tuple[float, int]:
    """Return a media type's quality and the negated position of the range that determines the quality."""
    for value in (media, f"{media.partition('/')[0]}/*", "*/*"):
        matching = [
            (item.quality, -item.position)
            for item in ranges
            if item.value == value and item.version in _VERSIONS[media]
        ]
        if matching:
            return max(matching)
    return 0.0, 0


def _parse_ranges(header: str) -> list[_Range]:
    ranges = []
    for position, element in enumerate(header.lower().split(",")):
        value, *pairs = (part.strip() for part in element.split(";"))
        parameters = {name.strip(): text.strip() for name, _, text in (pair.partition("=") for pair in pairs)}
        quality = parameters.get("q", "1")
        ranges.append(
            _Range(
                position,
                value,
                parameters.get("version", "").strip('"'),
                # As in Go: an invalid quality value is ignored.
                float(quality) if _QUALITY.fullmatch(quality) else 1.0,
            )
        )
    return ranges
