"""Pinned Go programs for the tests, built once by go-tool.sh. The first time takes minutes and the
network.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("go-tool.sh")
UNAVAILABLE = 3


@cache
def build(name: str) -> "subprocess.CompletedProcess[str]":
    """Build the program; call it where no time limit applies."""
    return subprocess.run([SCRIPT, name], capture_output=True, text=True, check=False)


def go_tool(name: str) -> str:
    """Return the path of the program. Skips the test if it is unavailable, unless LAB_COMPLETE is set (in
    CI).
    """
    done = build(name)
    if done.returncode == UNAVAILABLE and not os.environ.get("LAB_COMPLETE"):
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} {name} failed with code {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()
