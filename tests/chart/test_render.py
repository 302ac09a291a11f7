"""The manifests that the chart renders for many value files are valid."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import chart
from tests.chart.rendering import (
    CHART,
    RELEASE,
    ROOT,
    VALUES,
    container,
    helm,
    of_kind,
    only,
    pod,
    render,
    template,
    text,
    values_file,
)
from tests.lab.go_tools import go_tool

SCHEMAS = Path(__file__).parent / "schemas"
SUITES = Path(__file__).parent / "suites"
OLDEST, NEWEST = "v1.25.0", "v1.37.0"
CORE = {
    "DaemonSet": "apps",
    "NetworkPolicy": "networking",
    "ConfigMap": "",
    "Pod": "",
    "Service": "",
    "ServiceAccount": "",
}
every_values_file = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@pytest.fixture(scope="session", params=[OLDEST, NEWEST])
def core_schemas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas of one Kubernetes release."""
    folder = tmp_path_factory.mktemp(request.param)
    for kind, group in CORE.items():
        name = "-".join(part for part in (kind.lower(), group, "v1") if part)
        schema = json.loads((chart.bundled(request.param) / f"{name}.json").read_text())
        complete = json.dumps(chart.with_definitions(schema, request.param))
        (folder / f"{kind.lower()}_v1.json").write_text(complete)
    return folder


def kubeconform(core_schemas: Path, *arguments: str | Path) -> dict[str, Any]:
    named = "{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
    locations = [f"{folder}/{named}" for folder in (core_schemas, SCHEMAS)]
    places = [word for location in locations for word in ("-schema-location", location)]
    done = subprocess.run(
        [go_tool("kubeconform"), "-strict", "-summary", "-output", "json", *places, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("values", [None, *VALUES], ids=lambda path: path.stem if path else "alone")
def test_lint_finds_nothing(values: Path | None) -> None:
    options: list[str | Path] = ["--values", values] if values else []
    done = helm("lint", "--strict", CHART, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


def test_suites_pass_and_cover_every_template() -> None:
    relative = Path("../..") / SUITES.relative_to(ROOT) / "*_test.yaml"
    done = subprocess.run(
        [go_tool("helm-unittest"), "--strict", "--file", relative, CHART],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    suites = [yaml.safe_load(path.read_text()) for path in SUITES.glob("*_test.yaml")]
    covered = {template for suite in suites for template in suite["templates"]}
    templates = {str(path.relative_to(CHART / "templates")) for path in (CHART / "templates").rglob("*.*")}
    assert covered == {name for name in templates if not name.endswith(".tpl")}
    assert f"Tests:       {sum(len(suite['tests']) for suite in suites)} passed" in done.stdout


def test_manifests_are_valid_for_kubernetes_and_operators(core_schemas: Path, tmp_path: Path) -> None:
    for values in VALUES:
        (tmp_path / values.name).write_text(text(values))
    report = kubeconform(core_schemas, tmp_path)
    assert report.get("resources", []) == []
    every = sum(len(render(values)) for values in VALUES)
    assert report["summary"] == {"valid": every, "invalid": 0, "errors": 0, "skipped": 0}


def test_invalid_manifest_is_found(core_schemas: Path, tmp_path: Path) -> None:
    wrong = text(values_file("defaults")).replace("hostNetwork: false", "hostNetwrk: false")
    (tmp_path / "wrong.yaml").write_text(wrong)
    report = kubeconform(core_schemas, tmp_path)
    assert report["summary"]["invalid"] == 1
    assert "hostNetwrk" in report["resources"][0]["msg"]


def test_value_files_render_every_kind() -> None:
    """The other tests cover only the kinds that these files render."""
    kinds = {manifest["kind"] for values in VALUES for manifest in render(values)}
    assert kinds == {*CORE, "GrafanaDashboard", "PodMonitor", "PrometheusRule", "ServiceMonitor"}


@every_values_file
def test_names_are_unique_and_labelled_with_the_release(values: Path) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in render(values)]
    assert len(set(names)) == len(names)
    for manifest in render(values):
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert len(manifest["metadata"]["name"]) <= 63


def test_long_names_are_truncated_to_63_characters() -> None:
    manifests = render(values_file("everything"), (f"fullnameOverride={'a' * 70}",))
    assert max(len(manifest["metadata"]["name"]) for manifest in manifests) <= 63


@every_values_file
def test_mounts_and_volumes_match(values: Path) -> None:
    spec = pod(render(values))
    mounted = {mount["name"] for mount in container(render(values))["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    for init in spec.get("initContainers", ()):
        assert {mount["name"] for mount in init["volumeMounts"]} <= mounted


@pytest.mark.parametrize("value", ["global.theirs.deeply=1", "enabled=true"])
def test_parent_chart_values_are_accepted(value: str) -> None:
    assert template("--set", value).returncode == 0


def test_names_that_look_like_numbers_stay_strings(core_schemas: Path, tmp_path: Path) -> None:
    where = ("--namespace", "456", "--kube-version", NEWEST)
    done = helm("template", "123", CHART, *where, "--values", values_file("awkward"))
    assert done.returncode == 0, done.stderr
    (tmp_path / "all.yaml").write_text(done.stdout)
    assert kubeconform(core_schemas, tmp_path).get("resources", []) == []
    for manifest in filter(None, yaml.safe_load_all(done.stdout)):
        named = manifest["metadata"]
        assert named["namespace"] == "456"
        for word in (named["name"], *named["labels"].values(), *named.get("annotations", {}).values()):
            assert isinstance(word, str)


def test_special_characters_in_values_are_preserved() -> None:
    manifests = render(values_file("awkward"))
    volumes = {volume["name"]: volume for volume in pod(manifests)["volumes"]}
    assert volumes["libvirt"]["hostPath"]["path"] == "/run/libvirt #1"
    assert volumes["logs"]["hostPath"]["path"] == "/var/log/it's #2"
    assert volumes["journal"]["hostPath"]["path"] == "/srv/the journal #3"
    assert {volumes[name]["secret"]["secretName"] for name in ("web", "client", "otlp")} == {
        "true",
        "null",
        "0x1f",
    }
    (endpoint,) = only(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["tlsConfig"]["serverName"] == "yes: #no"
    assert pod(manifests)["securityContext"]["runAsUser"] == 1000650000
    assert pod(manifests)["initContainers"][0]["args"][0] == "1000650000:1000650000"


@pytest.mark.parametrize("values", ["virtqemud", "tls"])
def test_job_label_matches_the_alerts(values: str) -> None:
    manifests = render(values_file(values))
    (monitor,) = of_kind(manifests, "PodMonitor") + of_kind(manifests, "ServiceMonitor")
    spec = monitor["spec"]
    (endpoint,) = spec.get("podMetricsEndpoints") or spec["endpoints"]
    (job,) = (one["replacement"] for one in endpoint["relabelings"] if one.get("targetLabel") == "job")
    rules = (ROOT / "alerts/libvirt-lifecycle.rules.yaml").read_text()
    looked_for = set(re.findall(r'up\{job=~"([^"]+)"\}', rules))
    assert looked_for
    assert all(re.fullmatch(expression, job) for expression in looked_for)


def test_selectors_match_the_pods_but_not_the_helm_test() -> None:
    manifests = render(values_file("everything"))
    labels = only(manifests, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    test_labels = only(manifests, "Pod")["metadata"]["labels"]
    selectors: list[dict[str, Any]] = [
        only(manifests, "DaemonSet")["spec"]["selector"]["matchLabels"],
        only(manifests, "Service")["spec"]["selector"],
        only(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"],
        only(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= test_labels.items()
