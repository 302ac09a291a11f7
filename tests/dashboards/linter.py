"""The rules of Grafana's dashboard linter, applied to Classic dashboards and to every kind of panel.

Rules: https://github.com/grafana/dashboard-linter/tree/main/docs/rules. There, some rules apply to a few
kinds of panels only; here, all apply to state timelines, status histories, bar gauges and tables, too. There
are no exclusions.
"""

import re
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any, Final

import promql_parser
from grafana_foundation_sdk.models import units

from tests.dashboards.dashboard_files import Json, Window, interpolate, panels, variables
from tests.dashboards.promql import nodes, parse, selectors

SOURCE: Final = ("$prometheus_datasource", "${prometheus_datasource}", "$datasource", "${datasource}")
LABEL_QUERY: Final = re.compile(r"([a-z_]+)\((.+)\)")
UNITS: Final = frozenset(value for value in vars(units).values() if isinstance(value, str)) | {
    "none",
    "string",
}
SCRAPE: Final = 15.0
RATE_INTERVAL: Final = timedelta(seconds=88699)
"""An unusual value, so that a hand-written interval never equals it."""
PLACEHOLDER_VALUES: Final = Window(6069.0, SCRAPE).values() | {
    "__rate_interval": f"{RATE_INTERVAL.total_seconds():.0f}s"
}
RATES: Final = ("rate", "irate")
GROWTH: Final = (*RATES, "increase")


def placeholders(board: Json) -> dict[str, str]:
    """Return placeholder values; variables of the dashboard stand for themselves."""
    return {name: f"${name}" for name in variables(board)} | PLACEHOLDER_VALUES


def template_datasource(board: Json) -> Iterator[str]:
    sources = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    if not sources or sources[0]["query"] != "prometheus":
        yield "the first data source variable is not Prometheus"
    for one in sources:
        if one["name"] != f"{one['query']}_datasource":
            yield f"data source variable {one['name']} is not named after {one['query']}"
        if one["label"] != f"{one['query'].title()} data source":
            yield f"data source variable {one['name']} is labelled {one['label']}"


def _template(board: Json, name: str) -> Iterator[str]:
    one = variables(board).get(name)
    if one is None:
        yield f"no variable {name}"
        return
    expected = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+"}
    for key, value in expected.items():
        if one.get(key) != value:
            yield f"{name}: {key} is {one.get(key)}"
    if one["datasource"]["uid"] not in SOURCE:
        yield f"{name}: uses {one['datasource']['uid']}"


def template_job(board: Json) -> Iterator[str]:
    yield from _template(board, "job")


def template_instance(board: Json) -> Iterator[str]:
    yield from _template(board, "instance")


def template_label_promql(board: Json) -> Iterator[str]:
    for one in board["templating"]["list"]:
        if one["type"] != "query":
            continue
        found = LABEL_QUERY.search(one["query"])
        if found is None or found[1] not in {"label_names", "label_values", "metrics", "query_result"}:
            yield f"{one['name']}: {one['query']}"
        else:
            inner = found[2].rsplit(",", 1)[0] if found[1] == "label_values" else found[2]
            yield from _invalid(one["name"], interpolate(inner, placeholders(board)))


def template_on_time_change_reload(board: Json) -> Iterator[str]:
    for one in board["templating"]["list"]:
        if one["type"] == "query" and one.get("refresh") != 2:
            yield f"{one['name']}: refresh is {one.get('refresh')}"


def uneditable(board: Json) -> Iterator[str]:
    if board.get("editable") is not False:
        yield "the dashboard is editable"


def panel_datasource(board: Json) -> Iterator[str]:
    for panel in panels(board):
        sources = {panel["datasource"]["uid"], *(one["datasource"]["uid"] for one in panel["targets"])}
        if not sources <= set(SOURCE):
            yield f"{panel['title']}: uses {sources}"


def panel_title_description(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']} has no title or description"


def panel_units(board: Json) -> Iterator[str]:
    for panel in panels(board):
        config = panel["fieldConfig"]
        found = [config["defaults"].get("unit")]
        found += [
            one["value"] for each in config["overrides"] for one in each["properties"] if one["id"] == "unit"
        ]
        if not UNITS.issuperset(found):
            yield f"{panel['title']}: {found}"


def panel_no_targets(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if not panel.get("targets"):
            yield f"{panel['title']} has no queries"


def _parsed_queries(board: Json) -> Iterator[tuple[str, Any]]:
    for panel in panels(board):
        for target in panel["targets"]:
            try:
                yield panel["title"], parse(interpolate(target["expr"], placeholders(board)))
            except (ValueError, KeyError):
                continue  # target_promql reports it


def _invalid(what: str, expr: str) -> Iterator[str]:
    try:
        parse(expr)
    except ValueError as error:
        yield f"{what}: {error}: {expr}"


def target_promql(board: Json) -> Iterator[str]:
    for panel in panels(board):
        for target in panel["targets"]:
            yield from _invalid(panel["title"], interpolate(target["expr"], placeholders(board)))


def _matched(board: Json, label: str) -> Iterator[str]:
    for title, expr in _parsed_queries(board):
        for selector in selectors(expr):
            expected = (promql_parser.MatchOp.Re, label, f"${label}")
            if expected not in [(one.op, one.name, one.value) for one in selector.matchers.matchers]:
                yield f"{title}: {selector} without {label}"


def target_job(board: Json) -> Iterator[str]:
    yield from _matched(board, "job")


def target_instance(board: Json) -> Iterator[str]:
    yield from _matched(board, "instance")


def target_rate_interval(board: Json) -> Iterator[str]:
    for title, expr in _parsed_queries(board):
        for call in nodes(expr):
            if (
                isinstance(call, promql_parser.Call)
                and call.func.name in RATES
                and call.args[0].range != RATE_INTERVAL
            ):
                yield f"{title}: {call}"


def target_counter_agg(board: Json) -> Iterator[str]:
    for title, expr in _parsed_queries(board):
        counters = sum(str(one.name).endswith("_total") for one in selectors(expr))
        # promql.growth() subtracts two samples, each read by one of these two functions.
        read = calls(expr, {*GROWTH, "last_over_time", "min_over_time"})
        grown = [str(call.args[0].vector_selector.name) for call in read]
        if counters != sum(name.endswith("_total") for name in grown):
            yield f"{title}: a counter without rate, irate or increase"


def calls(expr: Any, functions: Collection[str]) -> Iterator[Any]:
    for node in nodes(expr):
        if isinstance(node, promql_parser.Call) and node.func.name in functions:
            yield node


RULES: Final[tuple[Callable[[Json], Iterator[str]], ...]] = (
    template_datasource,
    template_job,
    template_instance,
    template_label_promql,
    template_on_time_change_reload,
    uneditable,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    target_promql,
    target_job,
    target_instance,
    target_rate_interval,
    target_counter_agg,
)
