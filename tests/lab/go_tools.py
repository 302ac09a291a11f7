"""Pinned Go programs for the tests, built once by go-tool.sh: minutes, and a network, the first time."""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("go-tool.sh")
CANNOT_BE_HAD = 3


@cache
def build(name: str) -> "subprocess.CompletedProcess[str]":
    """So it is better called where no time limit runs."""
    return subprocess.run([SCRIPT, name], capture_output=True, text=True, check=False)


def go_tool(name: str) -> str:
    """Where it cannot be had the test is skipped; with LAB_COMPLETE set (as in CI) nothing may be missing."""
    done = build(name)
    if done.returncode == CANNOT_BE_HAD and not os.environ.get("LAB_COMPLETE"):
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} {name} failed with code {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()
