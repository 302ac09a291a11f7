"""A real Prometheus that scrapes targets of a test and answers queries."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.exporter import free_port
from tests.lab.service import Service
from tests.lab.waiting import until


class Prometheus(Service):
    """A Prometheus process. A context manager.

    `scrape`: options of the scrape_config of the targets; `jobs`: further scrape_configs; `more`: the rest of
    the configuration; `program`: another Prometheus than the installed one.
    """

    def __init__(
        self,
        folder: Path,
        targets: Sequence[str],
        *,
        scrape: Mapping[str, Any] | None = None,
        jobs: Sequence[Mapping[str, Any]] = (),
        features: Sequence[str] = (),
        more: Mapping[str, Any] | None = None,
        program: str = "prometheus",
    ) -> None:
        self.port = free_port()
        config = folder / "prometheus.json"  # JSON is YAML
        job = {
            "job_name": "libvirt",
            "honor_labels": True,
            "static_configs": [{"targets": list(targets)}],
            **(scrape or {}),
        }
        whole = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job, *jobs], **(more or {})}
        config.write_text(json.dumps(whole))
        argv = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus-data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            *(f"--enable-feature={feature}" for feature in features),
        ]
        super().__init__(folder, argv, f"http://127.0.0.1:{self.port}/-/ready", folder / "prometheus.log")

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer of the HTTP API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the instant vector of an expression: labels and value."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def wait_for(self, expression: str, timeout: float = 30.0) -> list[tuple[dict[str, str], float]]:
        """Return the first non-empty result of the expression."""
        return until(lambda: self.query(expression), timeout, f"{expression}; Prometheus' log is {self.log}")


def check_metrics(page: bytes) -> str:
    """Return the output of `promtool check metrics` for an exposition; empty if there is no finding."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode() + (f"exit code {done.returncode}" if done.returncode else "")
