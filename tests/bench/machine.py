"""Description of the machine and of the versions."""

import os
import platform
import subprocess
from pathlib import Path

import libvirt

from libvirt_lifecycle_exporter import __version__
from tests.bench import peers


def machine() -> dict[str, str]:
    cpu = _field(Path("/proc/cpuinfo"), "model name", ":") or platform.machine()
    memory = int(_field(Path("/proc/meminfo"), "MemTotal", ":").split()[0])
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory_gib": f"{memory / 2**20:.0f}",
        "system": _field(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    number = libvirt.getVersion()
    emulator = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    return {
        "exporter": __version__,
        "Python": platform.python_version(),
        "libvirt": f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}",
        "QEMU": emulator.stdout.split()[3].partition("(")[0],
        "prometheus-libvirt-exporter": peers.debian_version() or "unavailable",
    }


def load_average() -> str:
    return Path("/proc/loadavg").read_text().split()[0]


def _field(file: Path, name: str, separator: str) -> str:
    """Return the value of the first line `name SEPARATOR value`; empty if there is none."""
    for line in file.read_text().splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return ""
