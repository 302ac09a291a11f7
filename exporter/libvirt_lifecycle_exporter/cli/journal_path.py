"""Where the journal is: where it is said to be, else where the exporter keeps it: as this user, as a service.

Law: what is found is only looked for; whether it may be read is ``History``'s business.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from libvirt_lifecycle_exporter.config.settings import journal_file
from libvirt_lifecycle_exporter.journal.history import MissingError

SERVICE = Path("/var/lib/libvirt-lifecycle-exporter")
"""systemd's StateDirectory=libvirt-lifecycle-exporter: whoever asks often is not the service's user."""


def places(path: str, service: Path = SERVICE) -> list[Path]:
    """Return where to look, the likeliest place first; nothing where there is to be no journal."""
    file = journal_file(path)
    if file is None:
        return []
    is_settled = bool(path or os.environ.get("STATE_DIRECTORY"))
    return [file] if is_settled else [file, service / file.name]


def find(where: Sequence[Path]) -> Path:
    """Return the first place with a journal, or where this user may not look. Raises MissingError."""
    for place in where:
        with suppress(FileNotFoundError, NotADirectoryError):
            with suppress(PermissionError):
                place.stat()
            return place
    raise MissingError(f"there is no journal at {' or at '.join(map(str, where))}")
