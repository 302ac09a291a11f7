"""A fake Grafana between dashboards and Prometheus: interpolates variables and runs queries."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.dashboards.dashboard_files import Json, Query, Window, classic, interpolate, variables
from tests.lab.prometheus import Prometheus

ALL = ".+"
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")

META = re.compile(r"[$^*{}\[\]+?.()|]")


def escape(value: str, *, several: bool) -> str:
    """Escape a value as Grafana's Prometheus data source does (@grafana/prometheus 13.2.3): as a regular
    expression if the variable may have several values, else as a quoted string."""
    if several:
        return META.sub(r"\\\\\g<0>", value.replace("\\", "\\" * 4))
    return value.replace("\\", "\\" * 2).replace("'", "\\\\'")


@dataclass(frozen=True)
class Series:
    """One row of an instant query, or one series of a range query."""

    labels: Mapping[str, str]
    values: list[float]

    @property
    def last(self) -> float:
        return self.values[-1]


@dataclass
class Grafana:
    """The range is `since` (Unix time, seconds) to now; Prometheus scrapes every `scrape` seconds."""

    prometheus: Prometheus
    since: float
    scrape: float = 1.0
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Values of variables that the user has selected."""
    now: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.window = Window(math.ceil(self.now - self.since), self.scrape)
        self._variables: dict[str, dict[str, str]] = {}

    def variables(self, uid: str) -> dict[str, str]:
        """Return the value of every variable as interpolated in queries. `All` is allValue or all options."""
        if uid not in self._variables:
            self._variables[uid] = self._resolve(uid)
        return self._variables[uid]

    def _resolve(self, uid: str) -> dict[str, str]:
        found = self.window.values()
        for name, variable in variables(classic(uid)).items():
            if variable["type"] != "query":
                found[name] = name
            elif name in self.chosen:
                found[name] = escape(self.chosen[name], several=variable["multi"])
            elif variable.get("allValue"):
                assert self.options(variable, found) or name == "domain", f"{uid}: {name} has no options"
                found[name] = ALL
            else:
                several = variable["includeAll"]
                options = [escape(option, several=several) for option in self.options(variable, found)]
                found[name] = f"({'|'.join(options)})" if several else (options or [""])[0]
        return found

    def options(self, variable: Json, values: Mapping[str, str]) -> list[str]:
        """Return the options that the query of a variable finds."""
        query = interpolate(variable["query"], values)
        if label := LABEL_VALUES.fullmatch(query):
            matching = {"match[]": label[1], "start": str(self.since), "end": str(self.now)}
            names: list[str] = self.prometheus.ask(f"label/{label[2]}/values", **matching)
            return names
        rows = self._instant(query.removeprefix("query_result(").removesuffix(")"))
        pattern = re.compile(variable["regex"].strip("/"))
        formatted = [
            "{" + ",".join(f'{key}="{value}"' for key, value in sorted(row.labels.items())) + "}"
            for row in rows
        ]
        return sorted({found[1] for row in formatted if (found := pattern.search(row))})

    def run_query(self, query: Query, *, include_future: bool = False) -> list[Series]:
        """Run a query without NaN results. `include_future`: the last step may end in the future."""
        values = self.variables(query.board) | self.window.values(query.interval, query.points)
        expr = interpolate(query.expr, values)
        if query.instant:
            return self._instant(expr)
        step = self.window.step(query.interval, query.points)
        rounded = math.ceil if include_future else math.floor
        start, end = math.floor(self.since / step) * step, rounded(self.now / step) * step
        parameters = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        return _series(self.prometheus.ask("query_range", **parameters)["result"], "values")

    def _instant(self, expr: str) -> list[Series]:
        return _series(self.prometheus.ask("query", query=expr, time=str(self.now))["result"], "value")


def _series(result: list[dict[str, Any]], key: str) -> list[Series]:
    found = []
    for one in result:
        points = one[key] if key == "values" else [one[key]]
        values = [float(value) for _, value in points]
        if known := [value for value in values if not math.isnan(value)]:
            found.append(Series(one["metric"], known))
    return found
