"""The goals as ratios within one run, from the figures of the parts."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.fit import ratios, spread

Parts = dict[str, Any]
"""Figures by part; a part that was not measured is missing."""


@dataclass(frozen=True)
class Goal:
    """A figure with a bound. `values` raises KeyError if a part that it needs is missing."""

    name: str
    bound: float
    values: Callable[[Parts], list[float]]
    at_most: bool = True

    @property
    def text(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"

    def is_met(self, values: list[float]) -> bool:
        """Return whether the median meets the bound."""
        middle = statistics.median(values)
        return middle <= self.bound if self.at_most else middle >= self.bound


def _events(over: str, under: str, figure: str = "events_per_second") -> Callable[[Parts], list[float]]:
    def values(parts: Parts) -> list[float]:
        variants = parts["events"]["variants"]
        return ratios(variants[over][figure], variants[under][figure])

    return values


def _scrape(over: str, under: str) -> Callable[[Parts], list[float]]:
    def values(parts: Parts) -> list[float]:
        programs = parts["scrapes"]["programs"]
        return ratios(programs[over]["p50_ms"], programs[under]["p50_ms"])

    return values


def _cpu(parts: Parts) -> list[float]:
    programs = parts["scrapes"]["programs"]
    totals = [
        [own + daemon for own, daemon in zip(one["cpu_ms"], one["daemon_cpu_ms"], strict=True)]
        for one in (programs["exporter"], programs["debian"])
    ]
    return ratios(*totals)


def _series(parts: Parts) -> list[float]:
    """Return the samples that a further domain adds."""
    samples = {row["domains"]: row["samples"] for row in parts["growth"]["rows"] if row["connections"] == 1}
    return [(samples[1000] - samples[100]) / 900]


def _rss(key: str) -> Callable[[Parts], list[float]]:
    return lambda parts: list(parts["growth"]["rss_mib"][key])


def _history(parts: Parts) -> list[float]:
    return list(parts["growth"]["history"]["ready_s"]["full"])


def _idle(figure: str) -> Callable[[Parts], list[float]]:
    def values(parts: Parts) -> list[float]:
        rows = parts["growth"]["rows"]
        return [row[figure] for row in rows if (row["domains"], row["connections"]) == (1000, 1)]

    return values


GOALS = (
    Goal(
        "events/s with journal / a do-nothing callback", 0.4, _events("exporter", "callback"), at_most=False
    ),
    Goal("events/s with OTLP / without", 0.6, _events("exporting", "exporter"), at_most=False),
    Goal(
        "event to counter, p99, scraped every second and exporting, 100 domains / the callback's p99",
        5,
        _events("scraped", "callback", "p99_ms"),
    ),
    Goal("scrape / static bytes, 1,000 domains", 1.5, _scrape("exporter", "static")),
    Goal("scrape / static bytes, with gzip", 1.5, _scrape("exporter_gzip", "static_gzip")),
    Goal("CPU of a scrape and of the daemon / Debian's exporter", 0.02, _cpu),
    Goal("series of an idle domain", 18, _series),
    Goal("RSS in MiB, 100 domains", 52, _rss("100")),
    Goal("RSS in MiB, 1,000 domains", 58, _rss("1000")),
    Goal("RSS in MiB, 1,000 domains, with OTLP", 64, _rss("1000_otlp")),
    Goal("idle CPU in percent of a core, 1,000 domains, exporter", 1, _idle("idle_cpu_percent")),
    Goal("idle CPU in percent of a core, 1,000 domains, libvirtd", 1.5, _idle("daemon_idle_cpu_percent")),
    Goal("seconds from start to ready, 1,000 domains, 1,000,000 journal rows", 1, _history),
)


def goal_rows(parts: Parts) -> list[tuple[str, str, str, str]]:
    """Return name, goal, measured and whether it is met, for each goal."""
    rows = []
    for goal in GOALS:
        try:
            values = goal.values(parts)
        except KeyError:
            rows.append((goal.name, goal.text, "not measured", ""))
        else:
            rows.append((goal.name, goal.text, spread(values), "yes" if goal.is_met(values) else "no"))
    return rows
