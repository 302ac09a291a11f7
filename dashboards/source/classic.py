"""The Classic format, schema version 42: what grafana.com and file provisioning take.

Law: all comes from the SDK's models; what is done to their output afterwards is here, each with its reason.
"""

import json
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.source import links
from dashboards.source.board import Annotation, Board, Leads
from dashboards.source.layout import numbered, placed
from dashboards.source.panels import PROMETHEUS

Json = dict[str, Any]

NOT_ITS_OWN: Final = ("auto", "auto_min", "auto_count")
"""Keys of interval variables, which the SDK (0.0.21) writes for every kind; the schema forbids them elsewhere."""


def plain(model: object) -> Any:  # noqa: ANN401 - what JSON has
    """Turn a model of the SDK into what JSON has."""
    return json.loads(json.dumps(model, cls=JSONEncoder))


def navigation() -> dashboard.DashboardLink:
    """Lead to the other dashboards, with the same variables and time."""
    return dashboard.DashboardLink(
        title="Libvirt",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tooltip="The other dashboards of libvirt-lifecycle-exporter",
        tags=[links.TAG],
        as_dropdown=False,
        include_vars=True,
        keep_time=True,
        url="",
    )


def lead(one: Leads) -> dashboard.DashboardLink:
    """Lead out of the dashboards."""
    return dashboard.DashboardLink(
        title=one.title,
        type_val=dashboard.DashboardLinkType.LINK,
        icon="external link",
        tooltip=one.tooltip,
        url=one.url,
        target_blank=True,
        tags=[],
    )


def written(board: Board) -> Json:
    """Write a dashboard."""
    made: Json = plain(
        dashboard.Dashboard(
            uid=board.uid,
            title=board.title,
            description=board.description,
            tags=["libvirt", links.TAG],
            timezone="browser",
            editable=False,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime(from_val=board.since, to="now"),
            refresh="1m",
            panels=_panels(board),
            templating=dashboard.DashboardDashboardTemplating(list_val=list(board.variables)),
            links=[navigation(), *map(lead, board.leads)],
        )
    )
    made["annotations"] = {"list": [_annotation(one) for one in board.annotations]}
    for variable in made["templating"]["list"]:
        for key in NOT_ITS_OWN:
            variable.pop(key, None)
    return made


def _panels(board: Board) -> list[dashboard.Panel | dashboard.RowPanel]:
    found: list[dashboard.Panel | dashboard.RowPanel] = []
    top = 0
    for heading, row, panels in numbered(board):
        found.append(
            dashboard.RowPanel(
                title=row.title, id_val=heading, grid_pos=dashboard.GridPos(w=24, h=1, x=0, y=top), panels=[]
            )
        )
        places, top = placed(row, top + 1)
        for (number, panel), (_, place) in zip(panels, places, strict=True):
            copy = dashboard.Panel(**vars(panel))
            copy.id_val, copy.grid_pos = number, place
            found.append(copy)
    return found


def _annotation(one: Annotation) -> Json:
    """Write what Grafana's Prometheus data source reads; the SDK's model and the schema know but parts of it."""
    return {
        "name": one.name,
        "datasource": plain(PROMETHEUS),
        "enable": True,
        "hide": False,
        "iconColor": one.colour,
        "target": {"expr": one.expr, "refId": one.name, "interval": ""},
        **wording(one),
    }


def wording(one: Annotation) -> Json:
    """Say how a mark is worded, and that the value is its time."""
    return {
        "titleFormat": one.name,
        "textFormat": one.text,
        "tagKeys": "event,reason,instance",
        "useValueForTime": "on",
    }
