"""Builds the distributions once and installs them into a fresh environment, as docs/install.md describes."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.otel.certificates import certificates
from tests.packaging.installation import INSTALL_PREFIX, Installation

ROOT = Path(__file__).parents[2]

# The oldest versions are tested with the oldest Python only: some have no builds for newer ones.
collect_ignore = [] if sys.version_info[:2] == (3, 11) else ["test_oldest.py"]


def build(source: Path, into: Path, *kinds: str) -> list[Path]:
    """Build the given kinds of distributions (wheel, sdist) and return their paths."""
    options = [word for kind in kinds for word in ("-t", kind)]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", into, *options],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return sorted(into.iterdir())


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The distributions by suffix: .whl and .gz."""
    return {file.suffix: file for file in build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")}


@pytest.fixture(scope="session")
def installed(distributions: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One installation for all parallel test processes; the first process installs."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "opt"
    installation, is_there = Installation(folder), folder.with_suffix(".installed")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_there.exists():
            folder.mkdir()
            folder.chmod(0o755)
            install(installation, distributions[".whl"])
            is_there.touch()
    return installation


@pytest.fixture
def installed_with_grpc(installed: Installation, tmp_path: Path) -> Installation:
    """A copy of the installation with the extra grpc, and without packages of the test environment."""
    installation = Installation(tmp_path / "opt")
    shutil.copytree(installed.folder, installation.folder, symlinks=True)
    installation.run(*PIP, "--require-hashes", "-r", ROOT / "requirements-hashed-grpc.txt")
    return installation


PIP = (INSTALL_PREFIX / "bin/python", "-m", "pip", "--quiet", "install", "--disable-pip-version-check")


def install(installation: Installation, wheel: Path) -> None:
    """Install with hashes, as docs/install.md describes."""
    installation.run(sys.executable, "-m", "venv", INSTALL_PREFIX)
    installation.run(*PIP, "--require-hashes", "-r", ROOT / "requirements-hashed.txt")
    installation.run(*PIP, "--no-deps", wheel)


@pytest.fixture(scope="session")
def certificate_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("signed"))
