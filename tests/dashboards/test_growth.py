"""Bars of counters: each step shows what was counted since the step before; their sum is exact."""

import json
from collections.abc import Mapping
from pathlib import Path

from dashboards.source.promql import growth
from tests.alerts.rule_tools import error_output
from tests.dashboards.dashboard_files import Window, interpolate

SCRAPE = 10
STEP = 30
SHIFTS = range(4)
"""How many scrapes later the counter begins: its samples lie differently within the steps."""

STORIES: Mapping[str, tuple[str, float]] = {
    "grows": ("0x5 1 2x12", 2),
    "grows in its first step": ("0 3x18", 3),
    "exporter away": ("7x8 stale _x20 307x8", 300),
    "scrapes fail": ("7x8 _x20 307x8", 300),
    "ends": ("7x2 _x3 11x2 stale", 4),
    "begins again": ("0x5 9x5 3x9", 12),
    "does not grow": ("5x19", 0),
}
"""The samples of a counter as promtool writes them, and by how much it grew."""


def test_sum_of_the_steps_is_exact(tmp_path: Path) -> None:
    series = {(story, shift): wanted for story, (_, wanted) in STORIES.items() for shift in SHIFTS}
    names = {key: f'{{story="{key[0]}",shift="{key[1]}"}}' for key in series}
    expr = interpolate(growth("counted_total"), Window(600, SCRAPE).values(STEP))
    document = {
        "interval": f"{SCRAPE}s",
        "input_series": [
            {"series": f"counted_total{names[story, shift]}", "values": f"_x{shift} {STORIES[story][0]}"}
            for story, shift in series
        ],
        "promql_expr_test": [
            {
                "expr": f"sum_over_time(({expr})[20m:{STEP}s])",
                "eval_time": "20m",
                "exp_samples": [{"labels": names[key], "value": wanted} for key, wanted in series.items()],
            }
        ],
    }
    (tmp_path / "tests.json").write_text(json.dumps({"tests": [document]}))
    assert error_output(["promtool", "test", "rules", tmp_path / "tests.json"]) == ""
