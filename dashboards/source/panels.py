"""The kinds of panels: what is common to all of a kind is here, what is said of each stands with its dashboard.

Law: whatever is made here has a title, a description, a unit, references for its queries, and the Prometheus
data source of the dashboard's variable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.models import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    timeseries,
)

from dashboards.source import look

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")

Override = dashboard.DashboardFieldConfigSourceOverrides
Link = dict[str, object]


@dataclass(frozen=True)
class Query:
    """One question. ``legend`` names its series, ``form`` is Grafana's: time_series, table or heatmap."""

    expr: str
    legend: str = ""
    form: prometheus.PromQueryFormat = prometheus.PromQueryFormat.TIME_SERIES
    instant: bool = False
    exemplars: bool = False

    def target(self, ref: str) -> prometheus.Dataquery:
        """Write it as Grafana asks it."""
        return prometheus.Dataquery(
            datasource=PROMETHEUS,
            expr=self.expr,
            ref_id=ref,
            legend_format=self.legend or "__auto",
            format_val=self.form,
            instant=self.instant,
            range_val=not self.instant,
            exemplar=self.exemplars,
            editor_mode=prometheus.QueryEditorMode.CODE,
        )


@dataclass(frozen=True)
class Look:
    """What fields of a panel have in common."""

    unit: str = "short"
    decimals: float | None = None
    least: float | None = None
    most: float | None = None
    thresholds: dashboard.ThresholdsConfig = field(default_factory=look.steps)
    mappings: Sequence[dashboard.ValueMapping] = ()
    colour: dashboard.FieldColorModeId = dashboard.FieldColorModeId.THRESHOLDS
    fixed: str | None = None
    no_value: str | None = None
    overrides: Sequence[Override] = ()

    def config(self, custom: object = None) -> dashboard.FieldConfigSource:
        """Write it as Grafana keeps it."""
        return dashboard.FieldConfigSource(
            defaults=dashboard.FieldConfig(
                unit=self.unit,
                decimals=self.decimals,
                min_val=self.least,
                max_val=self.most,
                thresholds=self.thresholds,
                mappings=list(self.mappings),
                color=dashboard.FieldColor(mode=self.colour, fixed_color=self.fixed),
                no_value=self.no_value,
                custom=custom if custom is not None else {},
            ),
            overrides=list(self.overrides),
        )


COUNT: Final = Look(decimals=0, least=0)


def panel(
    kind: str,
    title: str,
    description: str,
    queries: Iterable[Query],
    options: object,
    config: dashboard.FieldConfigSource,
    size: tuple[int, int],
    interval: str | None = None,
) -> dashboard.Panel:
    """Make a panel; ``size``: width and height in Grafana's units. Where it stands is for ``layout``."""
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=description,
        datasource=PROMETHEUS,
        targets=[query.target(chr(ord("A") + place)) for place, query in enumerate(queries)],
        options=options,
        field_config=config,
        grid_pos=dashboard.GridPos(w=size[0], h=size[1]),
        interval=interval,
    )


def figure(
    title: str,
    description: str,
    expr: str,
    shown: Look = COUNT,
    size: tuple[int, int] = (4, 4),
    legend: str = "",
    *,
    backdrop: bool = False,
) -> dashboard.Panel:
    """One number, asked for once; ``backdrop``: its colour fills the panel."""
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID if backdrop else common.BigValueColorMode.VALUE,
        justify_mode=common.BigValueJustifyMode.AUTO,
        text_mode=common.BigValueTextMode.AUTO,
        reduce_options=common.ReduceDataOptions(calcs=["lastNotNull"], fields="", values=False),
        orientation=common.VizOrientation.AUTO,
    )
    query = Query(expr, legend, instant=True)
    return panel("stat", title, description, [query], options, shown.config(), size)


def _graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    shown: Look,
    size: tuple[int, int],
    custom: common.GraphFieldConfig,
    calcs: Sequence[str],
    interval: str | None,
) -> dashboard.Panel:
    options = timeseries.Options(legend=look.legend(calcs), tooltip=look.tooltip())
    return panel("timeseries", title, description, queries, options, shown.config(custom), size, interval)


def bars(
    title: str,
    description: str,
    *queries: Query,
    names: Iterable[str] = (),
    size: tuple[int, int] = (12, 8),
    overrides: Sequence[Override] = (),
    no_value: str | None = None,
    links: Sequence[Link] = (),
) -> dashboard.Panel:
    """How often something happened in each step, stacked; the legend has the total."""
    custom = common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.BARS,
        fill_opacity=80,
        line_width=0,
        stacking=common.StackingConfig(mode=common.StackingMode.NORMAL, group="A"),
        show_points=common.VisibilityMode.NEVER,
    )
    several = [*look.painted(names), *overrides]
    if links:
        several.append(look.override("byType", "number", links=list(links)))
    shown = Look(
        decimals=0,
        least=0,
        colour=dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME,
        overrides=several,
        no_value=no_value,
    )
    return _graph(title, description, queries, shown, size, custom, ("lastNotNull", "sum"), "1m")


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    names: Iterable[str] = (),
    size: tuple[int, int] = (12, 8),
    stacked: bool = False,
    no_value: str | None = None,
    points: int | None = None,
) -> dashboard.Panel:
    """Something that has a value at every moment; the legend has the last and the largest.

    ``points``: into how many steps the range is cut at most, where that is costly.
    """
    custom = common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        fill_opacity=40 if stacked else 10,
        line_width=1,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, group="A"
        ),
        show_points=common.VisibilityMode.NEVER,
    )
    shown = Look(
        unit=unit,
        least=0,
        colour=dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME,
        overrides=look.painted(names),
        no_value=no_value,
    )
    made = _graph(title, description, queries, shown, size, custom, ("lastNotNull", "max"), None)
    made.max_data_points = points
    return made


def timeline(
    title: str,
    description: str,
    query: Query,
    named: Mapping[float, tuple[str, str]],
    no_value: str,
    size: tuple[int, int] = (24, 8),
    links: Sequence[Link] = (),
) -> dashboard.Panel:
    """One row a series, coloured by what it was when: its values have names and colours.

    Not by thresholds, for which Grafana forgets the names where it merges equal values.
    """
    options = statetimeline.Options(
        show_value=common.VisibilityMode.AUTO,
        merge_values=True,
        row_height=0.9,
        legend=look.legend(()),
        tooltip=look.tooltip(),
    )
    overrides = [look.override("byType", "number", links=list(links))] if links else []
    shown = Look(
        unit="none",
        mappings=look.words({**named, look.NOTHING: ("nothing", look.OFF)}),
        colour=dashboard.FieldColorModeId.FIXED,
        fixed=look.OFF,
        no_value=no_value,
        overrides=overrides,
    )
    custom = statetimeline.FieldConfig(fill_opacity=85, line_width=0)
    return panel("state-timeline", title, description, [query], options, shown.config(custom), size)


def history(
    title: str,
    description: str,
    query: Query,
    thresholds: dashboard.ThresholdsConfig,
    no_value: str,
    cells: int,
    size: tuple[int, int] = (24, 8),
) -> dashboard.Panel:
    """One cell a row and step, coloured by how much it was; ``cells``: into how many the range is cut."""
    options = statushistory.Options(
        show_value=common.VisibilityMode.AUTO, legend=look.legend(()), tooltip=look.tooltip()
    )
    shown = Look(decimals=0, thresholds=thresholds, no_value=no_value)
    custom = statushistory.FieldConfig(fill_opacity=85, line_width=0)
    made = panel("status-history", title, description, [query], options, shown.config(custom), size)
    made.max_data_points = cells
    return made


def spread(
    title: str, description: str, query: Query, shown: Look = COUNT, size: tuple[int, int] = (8, 8)
) -> dashboard.Panel:
    """One bar a series, of the whole range."""
    options = bargauge.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        value_mode=common.BarGaugeValueMode.TEXT,
        name_placement=common.BarGaugeNamePlacement.LEFT,
        orientation=common.VizOrientation.HORIZONTAL,
        show_unfilled=True,
        legend=look.no_legend(),
        reduce_options=common.ReduceDataOptions(calcs=["lastNotNull"], fields="", values=False),
    )
    return panel("bargauge", title, description, [query], options, shown.config(), size)
