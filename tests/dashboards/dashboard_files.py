"""The committed dashboards: their panels, queries and variables, and how Grafana interpolates queries."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[2] / "dashboards"
UIDS: Final = ("libvirt-fleet", "libvirt-domain", "libvirt-crashes", "libvirt-exporter")
VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?:[.:][^}]*)?\}|(\w+))")

Json = dict[str, Any]


def classic(uid: str) -> Json:
    board: Json = json.loads((FOLDER / f"{uid}.json").read_text())
    return board


def schema_v2(uid: str) -> Json:
    board: Json = json.loads((FOLDER / "v2" / f"{uid}.json").read_text())
    return board


def panels(board: Json) -> list[Json]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


@dataclass(frozen=True)
class Query:
    """One query of a panel, or of an annotation."""

    board: str
    panel: str
    ref: str
    expr: str
    instant: bool
    interval: float
    """Minimum step of the panel, in seconds."""
    legend: str = ""
    points: int = 60
    """Maximum number of steps of the range."""

    def __str__(self) -> str:
        return f"{self.board}: {self.panel} ({self.ref})"


def queries(uid: str) -> Iterator[Query]:
    for panel in panels(classic(uid)):
        interval = {"1m": 60.0}[panel["interval"]] if "interval" in panel else 0.0
        for target in panel["targets"]:
            yield Query(
                uid,
                panel["title"],
                target["refId"],
                target["expr"],
                target["instant"],
                interval,
                target["legendFormat"],
                panel.get("maxDataPoints", 60),
            )


def all_queries() -> list[Query]:
    return [query for uid in UIDS for query in queries(uid)]


def annotations(uid: str) -> list[Query]:
    found = classic(uid)["annotations"]["list"]
    return [
        Query(uid, one["name"], "mark", one["target"]["expr"], instant=False, interval=0) for one in found
    ]


@dataclass(frozen=True)
class Window:
    """A time range and the scrape interval of Prometheus, in seconds."""

    range: float
    scrape: float

    def step(self, least: float = 0.0, points: int = 60) -> float:
        """Return the step that Grafana computes. `least`: the minimum step of the panel."""
        return float(math.ceil(max(self.range / points, least, self.scrape)))

    def values(self, least: float = 0.0, points: int = 60) -> dict[str, str]:
        """Return the values of the variables that Grafana defines."""
        interval = self.step(least, points)
        rate = max(interval + self.scrape, 4 * self.scrape)
        return {
            "__interval": f"{interval:.0f}s",
            "__interval_ms": f"{interval * 1000:.0f}",
            "__rate_interval": f"{rate:.0f}s",
            "__range": f"{self.range:.0f}s",
            "__range_s": f"{self.range:.0f}",
            "__range_ms": f"{self.range * 1000:.0f}",
        }


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables in `text`. Raises KeyError for an unknown variable."""
    return VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
