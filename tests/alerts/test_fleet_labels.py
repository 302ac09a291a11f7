"""Additional labels such as `cluster`: hosts that differ in no other label are different hosts.

Every rule test runs in one cluster while a host of the same name in another cluster runs the next test.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.generator.rules import groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from tests.alerts.rule_tools import UNIT_TESTS, error_output

Json = dict[str, Any]
FLEET = '[scope]\nfleet = ["cluster", "job"]\n'
WITHOUT_TARGET_LABELS = "LibvirtExporterAbsent"
"""A missing target has no labels."""
FIRING = 'alertstate="firing"'
RULE_TESTS = [path for path in UNIT_TESTS if path.name.split(".")[0] != WITHOUT_TARGET_LABELS]


def in_cluster(cluster: str, rule_test: Json) -> tuple[list[Json], list[Json]]:
    """Return the series and the expectations of a rule test with the label of a cluster."""
    label = f'cluster="{cluster}"'
    series = [
        {**one, "series": one["series"].replace("{", f"{{{label},", 1)} for one in rule_test["input_series"]
    ]
    expected = [
        {
            "eval_time": one["eval_time"],
            "expr": one["expr"].replace(FIRING, f"{FIRING},{label}"),
            "exp_samples": [
                {**sample, "labels": sample["labels"].replace(FIRING, f"{FIRING}, {label}")}
                for sample in one.get("exp_samples", [])
            ],
        }
        for one in rule_test["promql_expr_test"]
    ]
    assert all(label in one["expr"] for one in expected)
    return series, expected


def pair_clusters(rule_tests: list[Json]) -> Iterator[Json]:
    for east, west in zip(rule_tests, [*rule_tests[1:], rule_tests[0]], strict=True):
        (series, expected), (others, more) = in_cluster("east", east), in_cluster("west", west)
        yield {
            "name": f"{east['name']} | {west['name']}",
            "interval": east["interval"],
            "input_series": series + others,
            "promql_expr_test": expected + more,
        }


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name.removesuffix(".test.yaml"))
def test_rule_tests_pass_beside_another_cluster(path: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(FLEET)
    (tmp_path / "rules.yaml").write_text(document(groups(load(tmp_path / "own.toml"))))
    whole = yaml.safe_load(path.read_text())
    whole |= {"rule_files": ["rules.yaml"], "tests": list(pair_clusters(whole["tests"]))}
    (tmp_path / "tests.yaml").write_text(json.dumps(whole))  # JSON is YAML
    assert error_output(["promtool", "test", "rules", tmp_path / "tests.yaml"]) == ""
