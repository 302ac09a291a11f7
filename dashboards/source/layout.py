"""Where panels stand: rows of 24 units, filled from the left, wrapped where the next does not fit."""

from collections.abc import Iterator

from grafana_foundation_sdk.models import dashboard

from dashboards.source.board import Board, Row

WIDTH = 24


def placed(row: Row, top: int) -> tuple[list[tuple[dashboard.Panel, dashboard.GridPos]], int]:
    """Give each panel of a row its place; return the first free line as well."""
    found, left, line, lowest = [], 0, top, top
    for panel in row.panels:
        size = panel.grid_pos or dashboard.GridPos()
        if left + size.w > WIDTH:
            left, line = 0, lowest
        found.append((panel, dashboard.GridPos(x=left, y=line, w=size.w, h=size.h)))
        left, lowest = left + size.w, max(lowest, line + size.h)
    return found, lowest


def numbered(board: Board) -> Iterator[tuple[int, Row, list[tuple[int, dashboard.Panel]]]]:
    """Give rows and panels their ids: the same in both formats."""
    number = 0
    for row in board.rows:
        number += 1
        heading = number
        panels = []
        for panel in row.panels:
            number += 1
            panels.append((number, panel))
        yield heading, row, panels
