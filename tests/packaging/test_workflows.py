"""The release workflows, the issue forms and the single definition of the version."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from libvirt_lifecycle_exporter import __version__
from tests.lab.go_tools import go_tool
from tests.packaging.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
HOSTS = [
    ".".join(parts)
    for parts in (("pypi", "org"), ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"))
]


@pytest.fixture(scope="module")
def actionlint() -> str:
    return go_tool("actionlint")


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_actionlint_accepts_the_workflows(actionlint: str) -> None:
    done = subprocess.run(
        [actionlint, "-no-color", "-shellcheck=", *WORKFLOWS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_permissions_are_minimal(workflow: Path) -> None:
    text = workflow.read_text()
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert len(used) == len(re.findall(r"uses: [\w./-]+@[0-9a-f]{40} # v[\d.]+$", text, re.MULTILINE))
    found = yaml.safe_load(text)
    assert found["permissions"] == {}
    assert all("permissions" in job and "timeout-minutes" in job for job in found["jobs"].values())


def test_only_tested_builds_are_published() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    builds = [
        name for name, job in jobs.items() if any("make dist" in step.get("run", "") for step in job["steps"])
    ]
    assert builds == ["build"]
    for publishing in ("package", "image"):
        assert {"build", "test"} <= set(jobs[publishing]["needs"])
        assert jobs[publishing]["environment"] == "release"
    for publishing in ("package", "image", "chart"):
        assert (
            jobs[publishing]["permissions"].items() >= {"id-token": "write", "attestations": "write"}.items()
        )
        assert any(step.get("uses", "").startswith("actions/attest@") for step in jobs[publishing]["steps"])
    assert "secrets" not in str(jobs["package"])


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_valid(form: Path) -> None:
    found = yaml.safe_load(form.read_text())
    if form.stem == "config":
        assert set(found) == {"blank_issues_enabled"}
        return
    assert {"name", "description", "labels", "body"} == set(found)
    names = [part["id"] for part in found["body"] if part["type"] != "markdown"]
    assert len(names) == len(set(names)) >= 2


def test_version_is_defined_in_one_place() -> None:
    """All other places read the version from the package."""
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()
    script = 's/^__version__ = "\\(.*\\)"$/\\1/p'
    found = subprocess.run(
        ["sed", "-n", script, "exporter/libvirt_lifecycle_exporter/__init__.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == __version__
    assert script in (ROOT / ".github/workflows/release.yml").read_text()


def test_changelog_headings_are_valid_and_ordered() -> None:
    """Released versions in descending order below [Unreleased]; only the usual headings."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    versions = [
        re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]
    ]
    assert all(versions)
    numbers = [tuple(map(int, found.groups())) for found in versions if found]
    assert numbers == sorted(numbers, reverse=True)
    kinds = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_no_file_names_a_registry_host() -> None:
    files = [
        ROOT / name for name in ("pyproject.toml", "Makefile", "constraints.txt", "README.md", "SECURITY.md")
    ]
    files += [
        path for folder in (".github", "docs", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    files += ROOT.glob("requirements-*.txt")
    assert not [path.name for path in files for host in HOSTS if host in path.read_text()]
