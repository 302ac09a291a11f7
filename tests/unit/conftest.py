from collections.abc import Iterator
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.journal.store import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "state" / "journal.sqlite")
    journal.restore()
    yield journal
    journal.close()
