"""The dashboard v2 format, as a resource of Grafana's API: the same panels, ids, places and variables.

Law: nothing is decided here. What both formats say alike is taken from the Classic one.
"""

from typing import Any, Final

from grafana_foundation_sdk.models import dashboardv2 as v2
from grafana_foundation_sdk.models import resource

from dashboards.source.board import Annotation, Board
from dashboards.source.classic import Json, plain, wording
from dashboards.source.classic import written as classic
from dashboards.source.layout import numbered, placed

API: Final = "dashboard.grafana.app/v2"
SOURCE: Final = "${prometheus_datasource}"

HIDE: Final = {0: v2.VariableHide.DONT_HIDE, 1: v2.VariableHide.HIDE_LABEL, 2: v2.VariableHide.HIDE_VARIABLE}
REFRESH: Final = {
    0: v2.VariableRefresh.NEVER,
    1: v2.VariableRefresh.ON_DASHBOARD_LOAD,
    2: v2.VariableRefresh.ON_TIME_RANGE_CHANGED,
}


def written(board: Board) -> Json:
    """Write a dashboard as a resource: ``metadata.name`` is its uid."""
    first = classic(board)
    panels = {panel["id"]: panel for panel in first["panels"] if panel["type"] != "row"}
    spec = v2.Dashboard(
        title=first["title"],
        description=first["description"],
        tags=first["tags"],
        editable=False,
        cursor_sync=v2.DashboardCursorSync.CROSSHAIR,
        elements={f"panel-{number}": _panel(panel) for number, panel in panels.items()},
        layout=_rows(board),
        links=[v2.DashboardLink.from_json(link) for link in first["links"]],
        time_settings=v2.TimeSettingsSpec(
            from_val=board.since, to="now", timezone="browser", auto_refresh=first["refresh"]
        ),
        variables=[_variable(variable) for variable in first["templating"]["list"]],
        annotations=[_annotation(one) for one in board.annotations],
    )
    manifest = resource.Manifest(
        api_version=API, kind="Dashboard", metadata=resource.Metadata(name=board.uid), spec=spec
    )
    made: Json = plain(manifest)
    return made


def _asked(spec: Json) -> v2.DataQueryKind:
    return v2.DataQueryKind(
        group="prometheus",
        version="v0",
        datasource=v2.Dashboardv2DataQueryKindDatasource(name=SOURCE),
        spec=spec,
    )


def _query(target: Json) -> v2.PanelQueryKind:
    spec = {key: value for key, value in target.items() if key not in ("datasource", "refId")}
    return v2.PanelQueryKind(spec=v2.PanelQuerySpec(query=_asked(spec), ref_id=target["refId"], hidden=False))


def _panel(panel: Json) -> v2.PanelKind:
    changes = [
        v2.TransformationKind(group=one["id"], spec=v2.TransformationSpec(options=one["options"]))
        for one in panel.get("transformations", [])
    ]
    data = v2.QueryGroupKind(
        spec=v2.QueryGroupSpec(
            queries=[_query(target) for target in panel["targets"]],
            transformations=changes,
            query_options=v2.QueryOptionsSpec(
                interval=panel.get("interval"), max_data_points=panel.get("maxDataPoints")
            ),
        )
    )
    look = v2.VizConfigSpec(
        options=panel["options"], field_config=v2.FieldConfigSource.from_json(panel["fieldConfig"])
    )
    return v2.PanelKind(
        spec=v2.PanelSpec(
            id_val=panel["id"],
            title=panel["title"],
            description=panel["description"],
            links=[],
            data=data,
            viz_config=v2.VizConfigKind(group=panel["type"], version="", spec=look),
        )
    )


def _rows(board: Board) -> v2.RowsLayoutKind:
    made = []
    for _, row, panels in numbered(board):
        items = [
            v2.GridLayoutItemKind(
                spec=v2.GridLayoutItemSpec(
                    x=place.x,
                    y=place.y,
                    width=place.w,
                    height=place.h,
                    element=v2.ElementReference(name=f"panel-{number}"),
                )
            )
            for (number, _), (_, place) in zip(panels, placed(row, 0)[0], strict=True)
        ]
        grid = v2.GridLayoutKind(spec=v2.GridLayoutSpec(items=items))
        made.append(
            v2.RowsLayoutRowKind(spec=v2.RowsLayoutRowSpec(title=row.title, collapse=False, layout=grid))
        )
    return v2.RowsLayoutKind(spec=v2.RowsLayoutSpec(rows=made))


def _variable(variable: Json) -> v2.VariableKind:
    return _KINDS[variable["type"]](variable, _common(variable))


def _common(variable: Json) -> dict[str, Any]:
    return {
        "name": variable["name"],
        "label": variable["label"],
        "description": variable["description"],
        "hide": HIDE[variable.get("hide", 0)],
        "skip_url_sync": variable.get("skipUrlSync", False),
        "multi": variable.get("multi", False),
        "include_all": variable.get("includeAll", False),
        "allow_custom_value": True,
        "options": [v2.VariableOption.from_json(one) for one in variable.get("options", [])],
        "current": v2.VariableOption.from_json(variable.get("current", {"text": "", "value": ""})),
    }


def _datasource(variable: Json, common: dict[str, Any]) -> v2.VariableKind:
    spec = v2.DatasourceVariableSpec(
        plugin_id=variable["query"], refresh=REFRESH[variable["refresh"]], regex="", **common
    )
    return v2.DatasourceVariableKind(spec=spec)


def _custom(variable: Json, common: dict[str, Any]) -> v2.VariableKind:
    return v2.CustomVariableKind(spec=v2.CustomVariableSpec(query=variable["query"], **common))


def _query_variable(variable: Json, common: dict[str, Any]) -> v2.VariableKind:
    query = _asked({"query": variable["query"], "refId": f"variable-{variable['name']}"})
    spec = v2.QueryVariableSpec(
        query=query,
        definition=variable["query"],
        refresh=REFRESH[variable["refresh"]],
        regex=variable["regex"],
        sort=v2.VariableSort.ALPHABETICAL_ASC,
        all_value=variable.get("allValue"),
        **common,
    )
    return v2.QueryVariableKind(spec=spec)


_KINDS: Final = {"datasource": _datasource, "custom": _custom, "query": _query_variable}


def _annotation(one: Annotation) -> v2.AnnotationQueryKind:
    return v2.AnnotationQueryKind(
        spec=v2.AnnotationQuerySpec(
            name=one.name,
            enable=True,
            hide=False,
            icon_color=one.colour,
            built_in=False,
            query=_asked({"expr": one.expr, "refId": one.name}),
            legacy_options=wording(one),
        )
    )
