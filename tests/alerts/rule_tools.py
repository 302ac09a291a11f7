"""Shared helpers: the rule unit tests, and running external tools such as promtool."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALERTS_FOLDER = ROOT / "alerts"
UNIT_TESTS = sorted((ALERTS_FOLDER / "tests").glob("*.test.yaml"))


def error_output(argv: Sequence[str | Path], cwd: Path = ROOT) -> str:
    """Run a command and return its output if it fails, an empty string if it succeeds."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=cwd)
    return "" if done.returncode == 0 else done.stdout + done.stderr
