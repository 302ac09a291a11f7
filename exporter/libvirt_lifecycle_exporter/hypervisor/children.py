"""Processes that libvirt's client library starts in this process: ssh, or the command of an ``ext`` URI.

libvirt waits for its children itself, and only once the call that started them returns. A child of a call
that hangs therefore outlives this process, unless it is ended here.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


def child_pids() -> frozenset[int]:
    """Return the direct children of this process."""
    ours = os.getpid()
    return frozenset(pid for pid, parent in _parents().items() if parent == ours)


def terminate(pids: frozenset[int]) -> None:
    """Send SIGTERM to those of ``pids`` that are still children of this process, and to their descendants."""
    parents = _parents()
    ours = os.getpid()
    ending = {pid for pid in pids if parents.get(pid) == ours}
    while found := {pid for pid, parent in parents.items() if parent in ending} - ending:
        ending |= found
    for pid in ending:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)


def _parents() -> dict[int, int]:
    """Return the parent of each process that has not ended."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError):
                # The command's name, in brackets, may hold any character.
                state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    parents[int(folder.name)] = int(parent)
    return parents
