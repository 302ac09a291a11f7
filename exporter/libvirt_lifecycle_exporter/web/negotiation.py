"""Which format and which encoding a client gets, by its Accept and Accept-Encoding headers.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5: quality values, wildcards; the most specific range
counts. Of two equal ones the first is taken, as in Go.
Where nothing that the client accepts can be had, the answer is plain text, not 406: a person with a browser
and a scraper with a wrong header are better served.
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
"""The versions that a range may name. Text 1.0.0 differs by names in UTF-8 only, which do not occur."""


class _Range(NamedTuple):
    """One element of a header."""

    position: int
    value: str
    version: str
    quality: float


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics 1.0.0 to the text format."""
    ranges = _ranges(accept)
    openmetrics, text = (_media_quality(ranges, media) for media in (_OPENMETRICS, _TEXT))
    return openmetrics[0] > 0 and openmetrics > text


def prefers_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header takes gzip, and likes it no less than no encoding."""
    qualities: dict[str, float] = {}
    for found in _ranges(accept_encoding):
        qualities.setdefault(found.value.removeprefix("x-"), found.quality)
    gzip = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _media_quality(ranges: list[_Range], media: str) -> tuple[float, int]:
    """Return a media type's quality, and minus the position of the range that says so."""
    for value in (media, f"{media.partition('/')[0]}/*", "*/*"):
        matching = [
            (found.quality, -found.position)
            for found in ranges
            if found.value == value and found.version in _VERSIONS[media]
        ]
        if matching:
            return max(matching)
    return 0.0, 0


def _ranges(header: str) -> list[_Range]:
    ranges = []
    for position, element in enumerate(header.lower().split(",")):
        value, *written = (part.strip() for part in element.split(";"))
        parameters = {
            name.strip(): text.strip() for name, _, text in (part.partition("=") for part in written)
        }
        quality = parameters.get("q", "1")
        ranges.append(
            _Range(
                position,
                value,
                parameters.get("version", "").strip('"'),
                # As in Go: what is no quality value counts as none.
                float(quality) if _QUALITY.fullmatch(quality) else 1.0,
            )
        )
    return ranges
