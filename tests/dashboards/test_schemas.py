"""Both formats are valid according to Grafana's types, as JSON Schema."""

import gzip
import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from tests.dashboards.dashboard_files import UIDS, Json, classic, schema_v2

SCHEMAS = Path(__file__).parent / "schemas"
SHARED = Path(__file__).parents[3] / "shared/schemas"
NAMES = ("grafana-dashboard-classic-42", "grafana-dashboard-v2")
ANNOTATION_KEYS = ("titleFormat", "textFormat", "tagKeys", "useValueForTime")


def schema(name: str) -> Json:
    found: Json = json.loads(gzip.decompress((SCHEMAS / f"{name}.json.gz").read_bytes()))
    return found


def classic_schema() -> Json:
    """Return the Classic schema, extended for annotations of Prometheus. The original one permits only those
    of Grafana's own data source, and says that this "should just be a normal query target"."""
    found = schema(NAMES[0])
    annotation = found["definitions"]["AnnotationQuery"]["properties"]
    assert "should just be a normal query target" in annotation["target"]["description"]
    query = {"type": "object", "required": ["expr", "refId"], "properties": {"expr": {"type": "string"}}}
    annotation["target"] = {"anyOf": [{"$ref": annotation["target"]["$ref"]}, query]}
    for key in ANNOTATION_KEYS:
        annotation[key] = {"type": "string"}
    return found


def errors(schema: Json, board: Json) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(board)]


@pytest.mark.parametrize("uid", UIDS)
def test_classic_format_is_valid(uid: str) -> None:
    board = classic(uid)
    assert board["schemaVersion"] == 42
    assert errors(classic_schema(), board) == []


@pytest.mark.parametrize("uid", UIDS)
def test_classic_without_annotations_fits_the_original_schema(uid: str) -> None:
    assert errors(schema(NAMES[0]), classic(uid) | {"annotations": {"list": []}}) == []


@pytest.mark.parametrize("uid", UIDS)
def test_v2_format_is_valid(uid: str) -> None:
    board = schema_v2(uid)
    assert (board["apiVersion"], board["kind"]) == ("dashboard.grafana.app/v2", "Dashboard")
    assert board["metadata"]["name"] == uid
    assert errors(schema(NAMES[1]), board["spec"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_schema_refuses_an_invalid_dashboard(name: str) -> None:
    assert errors(schema(name), {"title": "a title, and an illegal key", "auto": True})


@pytest.mark.parametrize("name", NAMES)
def test_schema_copies_match_the_shared_ones(name: str) -> None:
    """Passes if the shared schemas are not available."""
    shared = SHARED / f"{name}.json"
    if not shared.exists():
        print(f"{shared} is not here: the copy in tests/dashboards/schemas is used")
        return
    assert schema(name) == json.loads(shared.read_text())
