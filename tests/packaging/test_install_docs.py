"""The installation guide and the playbook refer to files, options and commands that exist."""

import re
from pathlib import Path
from typing import Any

import yaml

from libvirt_lifecycle_exporter.cli import healthcheck as health
from libvirt_lifecycle_exporter.config.options import OPTIONS
from tests.packaging.conftest import ROOT
from tests.packaging.installation import INSTALL_PREFIX
from tests.packaging.unit_file import SYSUSERS, directives

DOCS = ROOT / "docs"
PLAYBOOK: list[dict[str, Any]] = yaml.safe_load((DOCS / "ansible.yml").read_text())
VARIABLES = {option.variable for option in OPTIONS}


def tasks() -> list[dict[str, Any]]:
    return [task for play in PLAYBOOK for part in ("tasks", "handlers") for task in play.get(part, [])]


def test_every_task_has_a_name_and_a_builtin_module() -> None:
    for task in tasks():
        assert task["name"]
        assert sum(key.startswith("ansible.builtin.") for key in task) == 1, task["name"]


def test_playbook_installs_to_the_paths_of_the_unit() -> None:
    (variables,) = (play["vars"] for play in PLAYBOOK if "vars" in play)
    assert variables["lifecycle_home"] == str(INSTALL_PREFIX)
    assert set(variables["lifecycle_settings"]) <= VARIABLES
    text = (DOCS / "ansible.yml").read_text()
    assert f"dest: {directives()['EnvironmentFile'][0].removeprefix('-')}" in text
    for path in (f"lib/sysusers.d/{SYSUSERS.name}", "lib/systemd/system/libvirt-lifecycle-exporter.service"):
        assert f"{{{{ lifecycle_home }}}}/{path}" in text
        assert path in (DOCS / "install.md").read_text()
        assert path in (ROOT / "pyproject.toml").read_text()


def test_notified_handlers_exist() -> None:
    handlers = {handler["name"] for play in PLAYBOOK for handler in play.get("handlers", [])}
    assert {task["notify"] for task in tasks() if "notify" in task} == handlers


def test_links_lead_to_existing_files() -> None:
    for page in ("install.md", "web-config.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", (DOCS / page).read_text()):
            if not link.startswith("../helm/"):
                assert (DOCS / link).exists(), f"{page}: {link}"


def test_documented_variables_exist() -> None:
    for page in ("install.md", "web-config.md", "ansible.yml"):
        found = set(re.findall(r"LIBVIRT_LIFECYCLE_EXPORTER_[A-Z_]+", (DOCS / page).read_text()))
        assert found <= VARIABLES, page


def test_required_python_version_is_documented() -> None:
    """The python3 of some distributions is too old."""
    (oldest,) = re.findall(
        r'^requires-python = ">=([\d.]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert f"Python {oldest} or newer" in (DOCS / "install.md").read_text()
    (variables,) = (play["vars"] for play in PLAYBOOK if "vars" in play)
    assert variables["lifecycle_python"] == "python3"
    assert 'virtualenv_command: "{{ lifecycle_python }} -m venv"' in (DOCS / "ansible.yml").read_text()


def test_documented_health_check_command_is_valid() -> None:
    (text,) = re.findall(
        r"--health-cmd 'python -m libvirt_lifecycle_exporter\.cli\.healthcheck ([^']+)'",
        (DOCS / "web-config.md").read_text(),
    )
    arguments = health.parser().parse_args(text.split())
    assert arguments.url == "https://localhost:10177/-/healthy"
    assert arguments.credentials


def test_documented_port_is_the_default_port() -> None:
    text = Path(DOCS / "install.md").read_text() + (DOCS / "ansible.yml").read_text()
    assert set(re.findall(r"localhost:(\d+)", text)) == {"10177"}
