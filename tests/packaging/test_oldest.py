"""The exporter works with the oldest dependencies that pyproject.toml allows and the oldest Python."""

import re
import sys
import threading
import tomllib
from collections import deque
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.installation import COMMAND, INSTALL_PREFIX, Installation, run_exporter
from tests.packaging.pins import normalize
from tests.web.running_server import bcrypt_hash


def oldest_versions() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11", "see conftest.py"
    written = [*project["dependencies"], *project["optional-dependencies"]["grpc"]]
    found = [re.fullmatch(r"([a-z-]+)>=([0-9.]+)", one) for one in written]
    assert all(found)
    return {one[1]: one[2] for one in found if one}


@pytest.fixture
def installation(distributions: dict[str, Path], tmp_path: Path) -> Installation:
    """Install the oldest versions. Indirect dependencies are constrained, except those of OpenTelemetry,
    whose versions depend on each other."""
    installation = Installation(tmp_path / "opt")
    installation.folder.mkdir()
    others = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if normalize(line.partition("==")[0]) not in oldest_versions()
        and not line.startswith("opentelemetry")
    ]
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(others))
    installation.run(sys.executable, "-m", "venv", INSTALL_PREFIX)
    pip = (INSTALL_PREFIX / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    installation.run(
        *pip,
        "install",
        "-c",
        constraints,
        *(f"{name}=={number}" for name, number in oldest_versions().items()),
    )
    installation.run(*pip, "install", "--no-deps", distributions[".whl"])
    installation.run(*pip, "check")
    return installation


@pytest.mark.timeout(600)
def test_exporter_works_with_the_oldest_versions(installation: Installation, tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text(
        f"basic_auth_users: {{alice: {bcrypt_hash('a')}}}\nrate_limit: {{interval: 1ms, burst: 100}}\n"
    )
    console = {"OTEL_TRACES_EXPORTER": "console"}
    with run_exporter(installation, "demo", "--pace", "10ms", **console) as (page, process):
        crashed = {"domain": "edge-3", "event": "stopped", "reason": "crashed"}
        page.wait_until(lambda: (page.value("libvirt_domain_lifecycle_events_total", **crashed) or 0) >= 1)
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert next(line for line in lines if '"start domain"' in line)
        # The process blocks while its output is not read, and could not end.
        rest = threading.Thread(target=deque, args=(lines, 0))
        rest.start()
    rest.join()
    assert "OK (no TLS; users: 1)" in installation.run(
        COMMAND, "check", "--libvirt.uri", "test:///default", "--web.config.file", web
    )
    assert "--web.config.file" in installation.run(COMMAND, "--help")
