"""The unit file as systemd reads it: the values of each directive in order."""

import subprocess
from functools import cache
from pathlib import Path

FILE = Path(__file__).parents[2] / "exporter/shared-data/libvirt-lifecycle-exporter.service"
SYSUSERS = FILE.with_suffix(".conf")


def directives(file: Path = FILE) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@cache
def syscall_sets() -> dict[str, list[str]]:
    """Return the system call sets that systemd defines."""
    listing = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    )
    sets: dict[str, list[str]] = {}
    members: list[str] = []
    for line in listing.stdout.splitlines():
        if line.startswith("@"):
            members = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.append(line.strip())
    return sets


def expand(names: list[str]) -> set[str]:
    """Resolve sets and names to system calls."""
    calls: set[str] = set()
    for name in names:
        calls |= expand(syscall_sets()[name]) if name.startswith("@") else {name}
    return calls


def allowed_syscalls() -> set[str]:
    """Return the system calls that SystemCallFilter= allows."""
    calls: set[str] = expand(["@default"])
    for line in directives()["SystemCallFilter"]:
        if line.startswith("~"):
            calls -= expand(line[1:].split()) - expand(["@default"])
        else:
            calls |= expand(line.split())
    return calls
