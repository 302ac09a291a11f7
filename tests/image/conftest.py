"""The image, built once. Only `make test-image` (LAB_IMAGE=1) collects these tests: they need minutes and
root.
"""

import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.image.pod_process import Image
from tests.lab.daemon import short_root
from tests.lab.go_tools import build as build_tool
from tests.lab.system_daemon import SystemDaemon

collect_ignore_glob = [] if os.environ.get("LAB_IMAGE") else ["test_*.py"]

HERE = Path(__file__).parent
SCRIPT = HERE.parent / "lab/image.sh"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
FOLDER = CACHE / "libvirt-lifecycle-exporter/image"


@cache
def build() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, FOLDER], capture_output=True, text=True, check=False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the time limit of the first test begins."""
    if any(HERE in item.path.parents for item in session.items) and not session.config.option.collectonly:
        build_tool("helm")
        build()


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image; an error if it cannot be built."""
    done = build()
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} failed with code {done.returncode}:\n{done.stderr}")
    yield Image(Path(done.stdout.strip()), FOLDER)
    subprocess.run([SCRIPT, "--unmount", FOLDER], check=True)


@pytest.fixture(scope="session")
def node() -> Iterator[SystemDaemon]:
    """A hypervisor: a privileged libvirtd whose /run/libvirt is a folder of the test."""
    with short_root() as root, SystemDaemon(root / "node", hostname="node") as daemon:
        yield daemon
