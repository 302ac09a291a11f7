"""Certificates for the tests of TLS; each test may spoil its own copy."""

import shutil
from pathlib import Path

import pytest

from tests.otel.certificates import certificates


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def folder(signed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "web"))
