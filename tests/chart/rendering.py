"""Renders the chart with `helm template`."""

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.lab.go_tools import go_tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/libvirt-lifecycle-exporter"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
RELEASE = "lle"
NAMESPACE = "monitoring"
KUBERNETES = "1.37.0"
"""Version of the cluster. Set explicitly, because this build of helm would assume an old one."""

Manifest = dict[str, Any]


def values_file(name: str) -> Path:
    return Path(__file__).parent / f"values/{name}.yaml"


def helm(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([go_tool("helm"), *arguments], capture_output=True, text=True, check=False)


def template(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    where = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return helm("template", RELEASE, CHART, *where, *arguments)


@cache
def text(values: Path, settings: tuple[str, ...] = ()) -> str:
    done = template("--values", values, *(word for setting in settings for word in ("--set", setting)))
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


@cache
def render(values: Path, settings: tuple[str, ...] = ()) -> Sequence[Manifest]:
    return [manifest for manifest in yaml.safe_load_all(text(values, settings)) if manifest]


def of_kind(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(manifests: Sequence[Manifest], kind: str) -> Manifest:
    (one,) = of_kind(manifests, kind)
    return one


def pod(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """Return the pod specification of the DaemonSet."""
    spec: dict[str, Any] = only(manifests, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def container(manifests: Sequence[Manifest]) -> dict[str, Any]:
    (one,) = pod(manifests)["containers"]
    return dict(one)
