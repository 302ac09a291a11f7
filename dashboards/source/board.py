"""A dashboard before it is written in either format."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.models import dashboard

from dashboards.source.variables import Variable


@dataclass(frozen=True)
class Annotation:
    """Marks on every picture: at the times that a gauge tells, in seconds."""

    name: str
    colour: str
    expr: str
    text: str


@dataclass(frozen=True)
class Leads:
    """A link at the top."""

    title: str
    tooltip: str
    url: str


@dataclass(frozen=True)
class Row:
    """Panels under a heading, from left to right, wrapped."""

    title: str
    panels: Sequence[dashboard.Panel]


@dataclass(frozen=True)
class Board:
    """All that a dashboard is."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    annotations: Sequence[Annotation] = ()
    leads: Sequence[Leads] = ()
    since: str = "now-6h"
