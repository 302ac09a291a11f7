from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.asking import Asked


@pytest.fixture
def scribe(tmp_path: Path) -> Iterator[Asked]:
    scribe = Asked(tmp_path / "journal.sqlite")
    yield scribe
    scribe.journal.close()
