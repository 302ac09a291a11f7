"""Output as table, JSON lines or CSV, written item by item.

Invariant: no output contains a control character. JSON is exact; table and CSV escape unprintable characters
(``formatting.escape``). Each item is one line of JSON or CSV.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TextIO, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from libvirt_lifecycle_exporter.cli.formatting import escape
from libvirt_lifecycle_exporter.cli.views import Column, View

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)

_GAP = "  "
_MIN_SHRUNK_WIDTH = 10
"""Smallest width of a column that is shrunk."""


class Output(Protocol[Item_contra]):
    """Writes items. The caller flushes the stream."""

    def write(self, items: Sequence[Item_contra]) -> None: ...


class JsonLines(Generic[Item]):
    """One JSON object per line."""

    def __init__(self, view: View[Item], stream: TextIO) -> None:
        self._record = view.record
        self._stream = stream

    def write(self, items: Sequence[Item]) -> None:
        """Write items."""
        for item in items:
            # json escapes everything that is not printable ASCII, except DEL.
            line = json.dumps(self._record(item)).replace("\x7f", "\\u007f")
            self._stream.write(f"{line}\n")


class Csv(Generic[Item]):
    """A header line, then one line per item."""

    def __init__(self, view: View[Item], stream: TextIO) -> None:
        self._record = view.record
        self._fields = view.fields
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(view.fields)

    def write(self, items: Sequence[Item]) -> None:
        """Write items."""
        for item in items:
            record = self._record(item)
            self._writer.writerow([_escape_value(record[field]) for field in self._fields])


class Table(Generic[Item]):
    """Aligned columns, as wide as the first items need. In a terminal, wide cells are wrapped."""

    def __init__(self, view: View[Item], stream: TextIO) -> None:
        self._view = view
        self._stream = stream
        self._console = Console(
            file=stream, force_terminal=stream.isatty(), markup=False, emoji=False, highlight=False
        )
        is_limited = self._console.is_terminal or "COLUMNS" in os.environ
        self._max_width = self._console.width if is_limited else None
        self._widths: list[int] = []
        self._is_highlighted = [column.title in view.highlighted for column in view.columns]

    def write(self, items: Sequence[Item]) -> None:
        """Write items. The first call writes the header, also if there are no items."""
        rows = [[escape(cell) for cell in self._view.cells(item)] for item in items]
        if not self._widths:
            self._widths = column_widths(self._view.columns, rows, self._max_width)
            self._write_row([column.title for column in self._view.columns], "bold", "bold")
        for item, row in zip(items, rows, strict=True):
            self._write_row(row, "", "red" if self._view.is_highlighted(item) else "")

    def _write_row(self, row: Sequence[str], style: str, highlight: str) -> None:
        columns = [self._wrap(cell, width) for cell, width in zip(row, self._widths, strict=True)]
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else "" for column in columns]
            padded = [pad(part, width) for part, width in zip(parts[:-1], self._widths, strict=False)]
            self._write_line([*padded, parts[-1]], style, highlight)

    def _write_line(self, cells: Sequence[str], style: str, highlight: str) -> None:
        if not self._console.is_terminal:
            self._stream.write(f"{_GAP.join(cells).rstrip()}\n")
            return
        line = Text(end="\n")
        for cell, is_column_highlighted in zip(cells, self._is_highlighted, strict=True):
            line.append(cell, highlight if is_column_highlighted else style).append(_GAP)
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def _wrap(self, cell: str, width: int) -> list[str]:
        if self._max_width is None or cell_len(cell) <= width:
            return [cell]
        return [line.plain.rstrip() for line in Text(cell).wrap(self._console, width, overflow="fold")]


FORMATS: Final[Mapping[str, Callable[[View[Any], TextIO], Output[Any]]]] = MappingProxyType(
    {"table": Table, "json": JsonLines, "csv": Csv}
)


def column_widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], max_width: int | None
) -> list[int]:
    """Return the width of each column in characters; the last column takes the rest of ``max_width``."""
    result = [
        max(column.min_width, len(column.title), *(cell_len(row[index]) for row in rows), 0)
        for index, column in enumerate(columns)
    ]
    if max_width is None:
        return result
    result[-1] = columns[-1].min_width
    available = max_width - len(_GAP) * (len(columns) - 1)
    shrinkable = [index for index, column in enumerate(columns) if column.is_shrinkable]
    while sum(result) > available and any(result[index] > _MIN_SHRUNK_WIDTH for index in shrinkable):
        result[max(shrinkable, key=result.__getitem__)] -= 1
    result[-1] = max(columns[-1].min_width, available - sum(result[:-1]))
    return result


def pad(cell: str, width: int) -> str:
    """Pad a cell with blanks to a width in characters; a wider cell is returned unchanged."""
    return cell if cell_len(cell) >= width else set_cell_size(cell, width)


def _escape_value(value: object) -> object:
    return escape(value) if isinstance(value, str) else value
