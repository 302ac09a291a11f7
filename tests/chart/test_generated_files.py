"""Copies in the chart equal their sources: rules, dashboards, versions, README, schema, defaults."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import chart, readme
from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.cli import main as cli
from libvirt_lifecycle_exporter.config.options import OPTIONS
from libvirt_lifecycle_exporter.config.settings import Settings
from tests.chart.rendering import (
    CHART,
    ROOT,
    VALUES,
    container,
    helm,
    of_kind,
    only,
    pod,
    render,
    text,
    values_file,
)
from tests.lab.go_tools import go_tool

RULES = sorted((ROOT / "alerts").glob("*.rules.yaml"))
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.json"))
MEBIBYTE = 1 << 20

EVERYTHING = values_file("everything")


def test_generated_files_are_up_to_date() -> None:
    """If this fails, run `make chart`."""
    assert chart.stale() == []


def test_outdated_files_are_found(tmp_path: Path) -> None:
    for name in ("helm", "alerts", "dashboards"):
        shutil.copytree(ROOT / name, tmp_path / name)
    package = Path("exporter/libvirt_lifecycle_exporter/__init__.py")
    for file in (package, Path("Dockerfile")):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    assert chart.stale(tmp_path) == []
    extra = tmp_path / chart.CHART / "files/dashboards/outdated.json"
    extra.write_text("{}")
    changed = next((tmp_path / "dashboards").glob("*.json"))
    changed.write_text("{}")
    (tmp_path / package).write_text('__version__ = "9.8.7"\n')
    copy = tmp_path / chart.CHART / "files/dashboards" / changed.name
    versions = [tmp_path / chart.CHART / "Chart.yaml", tmp_path / "Dockerfile"]
    assert set(chart.stale(tmp_path)) == {extra, copy, *versions}


def test_a_value_without_a_comment_is_refused(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("# It.\na:\n  b: 1\n")
    assert [value.path for value in readme.values(values)] == ["a"]
    values.write_text("a:\n  # That.\n  b: 1\n  c: 2\n")
    with pytest.raises(readme.UndocumentedError, match=r"^values.yaml: a\.c has no comment"):
        readme.values(values)


def test_versions_match_the_package() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["version"] == described["appVersion"] == chart.version() == __version__
    assert f"\nARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_rendered_rules_are_identical_to_alerts() -> None:
    assert RULES
    rendered = re.findall(r"kind: PrometheusRule\n.*?\nspec:\n(.*?)\n(?:---|\Z)", text(EVERYTHING), re.DOTALL)
    rendered_rules = [re.sub(r"^ {2}", "", spec, flags=re.MULTILINE).rstrip("\n") for spec in rendered]
    assert rendered_rules == [path.read_text().rstrip("\n") for path in RULES]


def test_rendered_dashboards_are_identical_to_dashboards() -> None:
    assert DASHBOARDS
    shown: dict[str, str] = {}
    for configured in of_kind(render(EVERYTHING), "ConfigMap"):
        shown |= configured["data"]
    assert shown == {path.name: path.read_text() for path in DASHBOARDS}


def test_grafana_dashboards_refer_to_the_config_maps() -> None:
    manifests = render(EVERYTHING)
    found = [one["spec"]["configMapRef"] for one in of_kind(manifests, "GrafanaDashboard")]
    assert found == [
        {"name": one["metadata"]["name"], "key": key}
        for one in of_kind(manifests, "ConfigMap")
        for key in one["data"]
    ]


def test_objects_and_release_fit_the_size_limit_of_etcd(tmp_path: Path) -> None:
    """1 MiB is the limit of a ConfigMap and of the Secret in which Helm stores the compressed release."""
    for configured in of_kind(render(EVERYTHING), "ConfigMap"):
        assert len(json.dumps(configured).encode()) < MEBIBYTE
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.iterdir()
    assert package.stat().st_size < MEBIBYTE / 4


def test_package_holds_only_the_chart(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    (package,) = tmp_path.iterdir()
    assert package.name == f"libvirt-lifecycle-exporter-{__version__}.tgz"
    listed = subprocess.run(["tar", "-tzf", package], capture_output=True, text=True, check=True).stdout
    packaged = {name.partition("/")[2] for name in listed.split()}
    assert packaged == {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}


@pytest.mark.parametrize("values", [EVERYTHING, values_file("rules-changed")], ids=lambda path: path.stem)
def test_promtool_accepts_the_rendered_rules(values: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(only(render(values), "PrometheusRule")["spec"]))
    done = subprocess.run(
        [go_tool("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = sum(path.read_text().count("- alert:") for path in RULES)
    records = sum(path.read_text().count("- record:") for path in RULES)
    left_out = len(yaml.safe_load(values.read_text())["prometheusRule"].get("disabled", []))
    assert f"SUCCESS: {alerts + records - left_out} rules found" in done.stdout


def test_rules_can_be_disabled_and_labelled() -> None:
    (spec,) = (yaml.safe_load(path.read_text()) for path in RULES)
    for group in spec["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != "LibvirtExporterAbsent"]
        for rule in group["rules"]:
            if "alert" in rule:
                rule.setdefault("labels", {})["team"] = "compute"
    assert only(render(values_file("rules-changed")), "PrometheusRule")["spec"] == spec


@pytest.mark.parametrize(
    ("setting", "address"), [("runbooks", "https://runbooks.local"), ("grafana", "http://grafana.local")]
)
def test_example_addresses_in_alerts_are_replaced(setting: str, address: str) -> None:
    key = {"runbooks": "runbook_url", "grafana": "dashboard_url"}[setting]
    rendered = only(render(EVERYTHING, (f"prometheusRule.{setting}={address}",)), "PrometheusRule")
    links = [
        rule["annotations"][key]
        for group in rendered["spec"]["groups"]
        for rule in group["rules"]
        if key in rule.get("annotations", {})
    ]
    assert links
    assert all(link.startswith(f"{address}/") for link in links)


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_exporter_accepts_the_rendered_arguments(values: Path) -> None:
    args = container(render(values))["args"]
    read = cli.command.make_context("exporter", list(args))
    Settings(**{name: value for name, value in read.params.items() if value not in (None, ())})
    names = [word.partition("=")[0] for word in args]
    assert {name for name in names if names.count(name) > 1} <= {"--libvirt.uri"}


def test_defaults_match_the_exporter() -> None:
    """The defaults of the chart equal those of the exporter, except for URI and journal path."""
    defaults = {option.name: option.default for option in OPTIONS}
    paths = {"--libvirt.uri", "--journal.path"}
    settings = ("otlp.endpoint=http://c:4318", "hang.guestAgent.enabled=true", "hang.vcpu.enabled=true")
    for word in container(render(values_file("defaults"), settings))["args"]:
        name, _, value = word.partition("=")
        if name in defaults and name not in paths and value:
            assert (name, value) == (name, defaults[name])


def test_schema_objects_forbid_unknown_properties() -> None:
    """Except for `global`, which a parent chart passes to all its charts."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert _objects_with_unknown_properties(schema, "") == ["/properties/global"]


def _objects_with_unknown_properties(thing: Any, where: str) -> list[str]:
    found = []
    if isinstance(thing, list):
        for number, part in enumerate(thing):
            found += _objects_with_unknown_properties(part, f"{where}/{number}")
    if not isinstance(thing, dict):
        return found
    kinds = thing.get("type")
    is_object = kinds == "object" or (isinstance(kinds, list) and "object" in kinds)
    allowed = thing.get("additionalProperties", True)
    if is_object and (allowed is True or allowed == {}):
        found.append(where)
    for key, part in thing.items():
        if key not in ("if", "then", "not", "const", "enum"):
            found += _objects_with_unknown_properties(part, f"{where}/{key}")
    return found


def test_documentation_says_kubevirt_is_not_supported() -> None:
    assert "## KubeVirt is not supported" in (CHART / "README.md").read_text()
    assert "KubeVirt is not supported" in (CHART / "templates/NOTES.txt").read_text()


def test_pod_requests_no_privileges() -> None:
    for values in VALUES:
        spec = pod(render(values))
        assert (spec["hostNetwork"], spec["hostPID"], spec["hostIPC"]) == (False, False, False)
        for one in (*spec["containers"], *spec.get("initContainers", ())):
            context = one["securityContext"]
            assert context["capabilities"]["drop"] == ["ALL"]
            assert not context["allowPrivilegeEscalation"]
            assert not context["privileged"]
            assert context["readOnlyRootFilesystem"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
