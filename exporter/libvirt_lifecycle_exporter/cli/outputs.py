"""Table, JSON or CSV, written as it comes.

Law: no character that a terminal obeys gets through, in none of them. JSON is exact; table and CSV spell
what does not print (``spelling.harmless``). One thing is one line of JSON and of CSV.
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

from libvirt_lifecycle_exporter.cli.formatting import harmless
from libvirt_lifecycle_exporter.cli.views import Column, View

Shown = TypeVar("Shown")
Taken = TypeVar("Taken", contravariant=True)  # noqa: PLC0105 - as the others

_GAP = "  "
_NARROWEST = 10
"""Columns never become narrower."""


class Output(Protocol[Taken]):
    """Where things are shown; what was written is flushed by the caller."""

    def write(self, things: Sequence[Taken]) -> None: ...


class JsonLines(Generic[Shown]):
    """An object a line."""

    def __init__(self, view: View[Shown], stream: TextIO) -> None:
        self._record = view.record
        self._stream = stream

    def write(self, things: Sequence[Shown]) -> None:
        """Write them."""
        for thing in things:
            # ASCII but for DEL, which json leaves as it is.
            line = json.dumps(self._record(thing)).replace("\x7f", "\\u007f")
            self._stream.write(f"{line}\n")


class Csv(Generic[Shown]):
    """A header, and a line each."""

    def __init__(self, view: View[Shown], stream: TextIO) -> None:
        self._record = view.record
        self._fields = view.fields
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(view.fields)

    def write(self, things: Sequence[Shown]) -> None:
        """Write them."""
        for thing in things:
            record = self._record(thing)
            self._writer.writerow([_harmless(record[field]) for field in self._fields])


class Table(Generic[Shown]):
    """Columns as wide as the first things need, in a terminal no wider than it: what is too wide wraps."""

    def __init__(self, view: View[Shown], stream: TextIO) -> None:
        self._view = view
        self._stream = stream
        self._console = Console(
            file=stream, force_terminal=stream.isatty(), markup=False, emoji=False, highlight=False
        )
        measured = self._console.is_terminal or "COLUMNS" in os.environ
        self._room = self._console.width if measured else None
        self._widths: list[int] = []
        self._marked = [column.title in view.marked for column in view.columns]

    def write(self, things: Sequence[Shown]) -> None:
        """Write them; the header first, and also if there are none yet."""
        rows = [[harmless(cell) for cell in self._view.cells(thing)] for thing in things]
        if not self._widths:
            self._widths = widths(self._view.columns, rows, self._room)
            self._put([column.title for column in self._view.columns], "bold", "bold")
        for thing, row in zip(things, rows, strict=True):
            self._put(row, "", "red" if self._view.bad(thing) else "")

    def _put(self, row: Sequence[str], style: str, marked: str) -> None:
        columns = [self._folded(cell, width) for cell, width in zip(row, self._widths, strict=True)]
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else "" for column in columns]
            padded = [padded_to(part, width) for part, width in zip(parts[:-1], self._widths, strict=False)]
            self._put_line([*padded, parts[-1]], style, marked)

    def _put_line(self, cells: Sequence[str], style: str, marked: str) -> None:
        if not self._console.is_terminal:
            self._stream.write(f"{_GAP.join(cells).rstrip()}\n")
            return
        line = Text(end="\n")
        for cell, is_marked in zip(cells, self._marked, strict=True):
            line.append(cell, marked if is_marked else style).append(_GAP)
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def _folded(self, cell: str, width: int) -> list[str]:
        if self._room is None or cell_len(cell) <= width:
            return [cell]
        return [line.plain.rstrip() for line in Text(cell).wrap(self._console, width, overflow="fold")]


FORMS: Final[Mapping[str, Callable[[View[Any], TextIO], Output[Any]]]] = MappingProxyType(
    {"table": Table, "json": JsonLines, "csv": Csv}
)


def widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """Share out the room, of which the last column gets the rest; None: there is no end to it."""
    found = [
        max(column.least, len(column.title), *(cell_len(row[place]) for row in rows), 0)
        for place, column in enumerate(columns)
    ]
    if room is None:
        return found
    found[-1] = columns[-1].least
    room -= len(_GAP) * (len(columns) - 1)
    giving = [place for place, column in enumerate(columns) if column.gives]
    while sum(found) > room and any(found[place] > _NARROWEST for place in giving):
        found[max(giving, key=found.__getitem__)] -= 1
    found[-1] = max(columns[-1].least, room - sum(found[:-1]))
    return found


def padded_to(cell: str, width: int) -> str:
    """Fill a cell up; one that is too wide stays as it is."""
    return cell if cell_len(cell) >= width else set_cell_size(cell, width)


def _harmless(value: object) -> object:
    return harmless(value) if isinstance(value, str) else value
