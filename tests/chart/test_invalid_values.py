"""The schema refuses invalid values before they reach a cluster."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import template

CASES = yaml.safe_load(Path(__file__).with_name("invalid_values.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["values"])[:70])
def test_schema_refuses_invalid_values(case: dict[str, Any], tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(case["values"]))
    done = template("--values", values)
    assert done.returncode == 1
    assert "don't meet the specifications of the schema" in done.stderr
    assert case["message"] in done.stderr
