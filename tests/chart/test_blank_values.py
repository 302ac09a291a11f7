"""Blank values in values.yaml: Helm removes the key together with its default."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.chart.rendering import CHART, values_file

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def paths(values: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value that the chart defines, with its default; Kubernetes structures are not expanded."""
    for key, value in values.items():
        yield (key,), value
        inner = schema["properties"][key]
        if isinstance(value, dict) and "properties" in inner:
            yield from (((key, *path), default) for path, default in paths(value, inner))


def is_nothing(value: Any) -> bool:
    return value in ("", {}, [])


@pytest.mark.parametrize(
    "path", [path for path, default in paths(DEFAULTS, SCHEMA) if not is_nothing(default)], ids=".".join
)
def test_value_with_a_default_cannot_be_removed(path: tuple[str, ...]) -> None:
    """Otherwise the manifests would contain `<nil>`, or lose a limit."""
    values = copy.deepcopy(DEFAULTS)
    within = values
    for key in path[:-1]:
        within = within[key]
    del within[path[-1]]
    with pytest.raises(jsonschema.ValidationError, match=f"'{path[-1]}' is a required property"):
        jsonschema.validate(values, SCHEMA, cls=jsonschema.Draft7Validator)


def test_value_without_a_default_may_be_blank() -> None:
    """test_render.py renders this file and validates the manifests."""
    blank = yaml.safe_load(values_file("blank").read_text())
    for path, default in paths(DEFAULTS, SCHEMA):
        if is_nothing(default) and path != ("otlp", "endpoint"):
            found: Any = blank
            for key in path:
                found = found[key]
            assert found is None, path
