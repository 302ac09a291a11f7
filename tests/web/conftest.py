"""Certificates for the tests of TLS."""

import shutil
from pathlib import Path

import pytest

from tests.otel.certificates import certificates


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and keys; read-only for tests."""
    return certificates(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def folder(signed: Path, tmp_path: Path) -> Path:
    """A copy of ``signed`` that the test may change."""
    return Path(shutil.copytree(signed, tmp_path / "web"))
