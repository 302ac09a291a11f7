"""Incremental compression of a page: only what has changed since the last scrape is compressed again.

The subjects (domains, connections) are compressed in groups, each family of a group on its own. Each part
ends at a byte boundary and refers to no earlier text (``Z_FULL_FLUSH``), so that the parts, in any
combination, are one valid stream. https://www.rfc-editor.org/rfc/rfc1951
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.metrics.exposition import CachedSeries

_GROUP_SIZE: Final = 64
"""Subjects that are compressed together: more compress better, fewer are compressed again for one change."""
_LEVEL: Final = 1
"""The fastest level: a scrape crosses a network once, and the event path shares the processor."""


class Deflated(NamedTuple):
    """Compressed text."""

    data: bytes
    """Blocks of a raw deflate stream, without its end."""
    crc: int
    """CRC-32 of the text."""
    size: int
    """Size of the text in bytes."""


def deflate(text: bytes) -> bytes:
    """Compress text as blocks of a raw deflate stream."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)


@lru_cache(maxsize=256)
def deflate_header(header: str) -> bytes:
    """Compress the header of a family, which never changes."""
    return deflate(header.encode())


class DeflatedGroups:
    """The compressed texts of all subjects of one kind, by group and family."""

    def __init__(self, families: int) -> None:
        """``families``: number of texts that a subject has."""
        self._families = families
        self._all = (1 << families) - 1
        self._subjects: list[CachedSeries] = []
        self._parts: list[list[bytes]] = []
        """By group, by family."""
        self._stale: list[int] = []
        """By group: the families to compress again, one bit for each."""

    def update(self, subjects: Sequence[CachedSeries]) -> bool:
        """Find out what has changed; return whether anything has. ``subjects``: in the order of the page."""
        if self._subjects != subjects:
            self._subjects = [*subjects]
            groups = -(-len(subjects) // _GROUP_SIZE)
            self._parts = [[b""] * self._families for _ in range(groups)]
            self._stale = [self._all] * groups
            for subject in subjects:
                subject.take_changed()
            return True
        has_changed = False
        for group, start in enumerate(range(0, len(subjects), _GROUP_SIZE)):
            changed = 0
            for subject in subjects[start : start + _GROUP_SIZE]:
                changed |= subject.take_changed()
            if changed:
                self._stale[group] |= changed
                has_changed = True
        return has_changed

    def parts(self, family: int, column: Sequence[str]) -> list[bytes]:
        """Return the compressed texts of one family. ``column``: the text of each subject."""
        bit = 1 << family
        for group, stale in enumerate(self._stale):
            if stale & bit:
                start = group * _GROUP_SIZE
                text = "".join(column[start : start + _GROUP_SIZE])
                self._parts[group][family] = deflate(text.encode()) if text else b""
                self._stale[group] = stale & ~bit
        return [parts[family] for parts in self._parts]
