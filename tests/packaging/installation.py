"""An installation at the path that the unit file names, visible only to the commands of the test.

A mount namespace shows a directory of the test as /opt/libvirt-lifecycle-exporter; the /opt of the machine
does not change.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.exporter import free_port
from tests.lab.page import Page

INSTALL_PREFIX = Path("/opt/libvirt-lifecycle-exporter")
COMMAND = INSTALL_PREFIX / "bin/libvirt-lifecycle-exporter"

_SETUP_SCRIPT = """
set -e
mount -t tmpfs lab /opt
mkdir /opt/libvirt-lifecycle-exporter
mount --bind "$1" /opt/libvirt-lifecycle-exporter
shift
exec "$@"
"""


class Installation:
    """`folder` is mounted at INSTALL_PREFIX; `environment` has no variables that refer to the source tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        removed = ("PYTHON", "PIP_", "LIBVIRT_LIFECYCLE", "OTEL_", "VIRTUAL_ENV")
        allowed = (
            "PIP_CERT",
            "PIP_INDEX_URL",
            "PIP_EXTRA_INDEX_URL",
            "PIP_DEFAULT_TIMEOUT",
            "PIP_CONFIG_FILE",
        )
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name in allowed or not name.startswith(removed)
        }

    def argv(self, *command: str | Path) -> list[str]:
        """Return the command line that runs the command in the namespace."""
        namespace = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
        return [
            *namespace,
            "sh",
            "-c",
            _SETUP_SCRIPT,
            "sh",
            str(self.folder),
            *(str(word) for word in command),
        ]

    def run(self, *command: str | Path, code: int = 0, **variables: str) -> str:
        """Run a command, check its exit code and return its output."""
        done = subprocess.run(
            self.argv(*command),
            cwd="/",
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done
        return done.stdout + done.stderr


@contextmanager
def run_exporter(
    installation: Installation, *arguments: str, **variables: str
) -> Iterator[tuple[Page, subprocess.Popen[str]]]:
    page = Page(free_port())
    with subprocess.Popen(
        installation.argv(COMMAND, *arguments, "--web.listen-address", f"127.0.0.1:{page.port}"),
        cwd="/",
        env=installation.environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            page.wait_until(lambda: process.poll() is not None or page.status("/-/ready") == 200)
            assert process.poll() is None, process.communicate()[0]
            yield page, process
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
