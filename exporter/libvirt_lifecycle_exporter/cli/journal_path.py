"""Where the commands ``events`` and ``incidents`` look for the journal.

This module only finds the file; ``History`` checks whether it can be read.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from libvirt_lifecycle_exporter.config.settings import resolve_journal_path
from libvirt_lifecycle_exporter.journal.history import MissingError

SERVICE_DIRECTORY = Path("/var/lib/libvirt-lifecycle-exporter")
"""systemd's StateDirectory of the service, which usually runs as another user than these commands."""


def candidate_paths(path: str, service_directory: Path = SERVICE_DIRECTORY) -> list[Path]:
    """Return the paths to look at, in order, for a value of --journal.path; empty if it disables the journal.

    Without a value and outside of a service: the user's own journal, then the service's.
    """
    file = resolve_journal_path(path)
    if file is None:
        return []
    is_explicit = bool(path or os.environ.get("STATE_DIRECTORY"))
    return [file] if is_explicit else [file, service_directory / file.name]


def find(paths: Sequence[Path]) -> Path:
    """Return the first path that exists or that this user may not access. Raises MissingError."""
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            with suppress(PermissionError):
                path.stat()
            return path
    raise MissingError(f"no journal at {' or at '.join(map(str, paths))}")
