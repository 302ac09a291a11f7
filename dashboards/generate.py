"""Writes the dashboards: ``python -m dashboards.generate`` (or ``make dashboards``).

source/promql, look    the questions and the colours
    -> panels, tables, links, variables    the parts
    -> fleet, domain, crashes, exporter    the dashboards, each a Board
    -> classic -> second    the two formats
    -> *.json, v2/*.json    what is committed; the tests hold it against this
"""

import json
from pathlib import Path
from typing import Final

from dashboards.source import classic, crashes, domain, exporter, fleet, second
from dashboards.source.board import Board

HERE: Final = Path(__file__).parent
BOARDS: Final[tuple[Board, ...]] = (fleet.BOARD, domain.BOARD, crashes.BOARD, exporter.BOARD)


def files() -> dict[Path, str]:
    """Return every generated file's path, relative to this folder, and its text."""
    found = {}
    for board in BOARDS:
        found[Path(f"{board.uid}.json")] = _text(classic.written(board))
        found[Path(f"v2/{board.uid}.json")] = _text(second.written(board))
    return found


def _text(value: classic.Json) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    for path, text in files().items():
        target = HERE / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
