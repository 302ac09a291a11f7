"""The other programs of the comparison: Debian's exporter, the naive one, the floors; each is a service on a
port.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.lab.exporter import free_port
from tests.lab.page import Page
from tests.lab.service import Service

FETCH = Path(__file__).parents[1] / "lab/debian-exporter.sh"
UNAVAILABLE = 3
HERE = Path(__file__).parent


class Peer(Service, Page):
    """A program that serves /metrics; a context manager."""

    def __init__(self, folder: Path, name: str, argv: list[str], port: int) -> None:
        Page.__init__(self, port)
        ready = f"http://127.0.0.1:{port}/metrics"
        Service.__init__(self, folder, argv, ready, folder / f"{name}-{port}.log")


@cache
def _debian() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([FETCH], capture_output=True, text=True, check=False)


def why_debian_is_unavailable() -> str:
    """Return the reason in one sentence; empty if it is available. Raises RuntimeError for other failures."""
    done = _debian()
    if done.returncode not in {0, UNAVAILABLE}:
        raise RuntimeError(f"{FETCH.name} failed with code {done.returncode}:\n{done.stderr}")
    return done.stderr.strip() if done.returncode else ""


def debian_version() -> str:
    """Return the version of Debian's package; empty if it is unavailable."""
    if why_debian_is_unavailable():
        return ""
    # CACHE/version and CACHE/files/usr/bin/PROGRAM
    return (Path(_debian().stdout.strip()).parents[3] / "version").read_text().strip()


def debian(folder: Path, uri: str) -> Peer:
    port = free_port()
    program = _debian().stdout.strip()
    argv = [program, f"--web.listen-address=127.0.0.1:{port}", f"--libvirt.uri={uri}"]
    return Peer(folder, "debian", argv, port)


def naive(folder: Path, uri: str) -> Peer:
    port = free_port()
    argv = [sys.executable, str(HERE / "naive_exporter.py"), uri, str(port)]
    return Peer(folder, "naive", argv, port)


def static(folder: Path, page: bytes) -> Peer:
    port = free_port()
    (folder / "page").write_bytes(page)
    root = str(HERE.parents[1])  # where the module is found
    argv = ["env", f"PYTHONPATH={root}", sys.executable, "-m", "tests.bench.static_server"]
    return Peer(folder, "static", [*argv, str(folder / "page"), str(port)], port)
