from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import QueryableJournal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[QueryableJournal]:
    journal = QueryableJournal(tmp_path / "journal.sqlite")
    yield journal
    journal.store.close()
