"""Runs the command as an operator does, and queries a journal with it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.journal.journal_fixture import JournalFixture

COMMAND = [sys.executable, "-m", "libvirt_lifecycle_exporter"]
CAPABILITIES = "-dac_override,-dac_read_search"
WITHOUT_CAPABILITIES = ["setpriv", f"--bounding-set={CAPABILITIES}", f"--inh-caps={CAPABILITIES}"]
"""Command prefix that removes the capabilities that let root open any file."""
JOURNAL_VARIABLE = "LIBVIRT_LIFECYCLE_EXPORTER_JOURNAL_PATH"
CLEAN_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("LIBVIRT_LIFECYCLE_EXPORTER") and name not in ("COLUMNS", "STATE_DIRECTORY")
} | {"TZ": "Europe/Prague"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=CLEAN_ENVIRONMENT | variables,
    )


def unprivileged_prefix() -> list[str]:
    """Return a command prefix that switches to an unprivileged user, if the tests run as root.

    The user keeps CAP_DAC_READ_SEARCH because the test directories belong to root.
    """
    if os.getuid() != 0:
        return []
    capability = "+dac_read_search"
    return [
        *("setpriv", "--reuid=65534", "--clear-groups"),
        *(f"--inh-caps={capability}", f"--ambient-caps={capability}"),
    ]


class QueryableJournal(JournalFixture):
    """A journal that a test writes, and that the command reads."""

    def query(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, **({JOURNAL_VARIABLE: str(self.path)} | variables))

    def query_json(self, *arguments: str) -> list[dict[str, Any]]:
        result = self.query(*arguments, "--output", "json")
        assert (result.returncode, result.stderr) == (0, "")
        return [json.loads(line) for line in result.stdout.splitlines()]

    def names(self, *arguments: str) -> list[str]:
        return [row["name"] for row in self.query_json(*arguments)]

    @contextmanager
    def follow(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [*COMMAND, "events", "--follow", "--journal.path", str(self.path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN_ENVIRONMENT,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def error_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that the command failed with one line on stderr, and return that line."""
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith("libvirt-lifecycle-exporter: ")
    assert result.stderr.count("\n") == 1
    return result.stderr
