"""Tables: columns in the order they are named, everything else left out.

Law: queries that share a table are aggregated (Grafana's merge does not join rows whose metric names differ), and
one of them has a row for every subject, so that no column depends on what another found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.models import common, dashboard, prometheus, table

from dashboards.source import look
from dashboards.source.panels import Link, Look, Query, panel

WHEN: Final = "dateTimeFromNow"
VALUE: Final = "Value"


@dataclass(frozen=True)
class Column:
    """A field of the answer: a label, or ``Value`` (``Value #B`` where there are several queries)."""

    name: str
    title: str
    unit: str | None = None
    decimals: int | None = None
    width: int | None = None
    links: Sequence[Link] = ()
    mappings: Mapping[float, tuple[str, str]] = field(default_factory=dict)
    thresholds: dashboard.ThresholdsConfig | None = None
    empty: str = "-"
    """What an empty cell says: else it says what the empty table does."""


def rows(expr: str) -> Query:
    """A question whose answer is a table, asked once."""
    return Query(expr, form=prometheus.PromQueryFormat.TABLE, instant=True)


def grid(
    title: str,
    description: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    sort: str,
    no_value: str,
    size: tuple[int, int] = (12, 9),
    *,
    descending: bool = True,
) -> dashboard.Panel:
    """A table, sorted by the column with the title ``sort``; ``no_value``: what an empty one says."""
    options = table.Options(
        show_header=True,
        cell_height=common.TableCellHeight.SM,
        sort_by=[common.TableSortByFieldState(display_name=sort, desc=descending)],
    )
    shown = Look(unit="string", no_value=no_value, overrides=[_override(column) for column in columns])
    config = shown.config({"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}})
    made = panel("table", title, description, [rows(expr) for expr in queries], options, config, size)
    merge = [dashboard.DataTransformerConfig(id_val="merge", options={})] if len(queries) > 1 else []
    made.transformations = [*merge, _organised(columns, len(queries))]
    return made


def _override(column: Column) -> dashboard.DashboardFieldConfigSourceOverrides:
    properties: dict[str, object] = {"displayName": column.title, "noValue": column.empty}
    if column.unit:
        properties["unit"] = column.unit
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.width:
        properties["custom_width"] = column.width
    if column.links:
        properties["links"] = list(column.links)
    if column.mappings:
        properties["mappings"] = look.words(column.mappings)
    if column.thresholds or column.mappings:
        properties["custom_cellOptions"] = {"type": "color-text"}
    if column.thresholds:
        properties["thresholds"] = column.thresholds
    if column.name == VALUE:
        # Grafana names it "Value #A" where it takes the query for one of several.
        return look.override("byRegexp", "/^Value( #A)?$/", **properties)
    return look.override("byName", column.name, **properties)


def _organised(columns: Sequence[Column], queries: int) -> dashboard.DataTransformerConfig:
    names = [column.name for column in columns]
    if queries == 1:
        names = [name for one in names for name in ((one, "Value #A") if one == VALUE else (one,))]
    options = {
        "indexByName": {name: place for place, name in enumerate(names)},
        "excludeByName": {"Time": True},
        "renameByName": {},
    }
    return dashboard.DataTransformerConfig(id_val="organize", options=options)
