"""A real Prometheus that scrapes what a test shows, and answers queries."""

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
    """`scrape` is the scrape_config beside the targets, `jobs` are others; `more` is the rest of the
    configuration; `program` may be another Prometheus than the machine's. Started and stopped by `with`."""

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
        """The `data` of an API answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of an expression: labels and value."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def wait_for(self, expression: str, timeout: float = 30.0) -> list[tuple[dict[str, str], float]]:
        """The first answer to the expression that is not empty."""
        return until(lambda: self.query(expression), timeout, f"{expression}; Prometheus' log is {self.log}")


def check_metrics(page: bytes) -> str:
    """What `promtool check metrics` has to say about an exposition; nothing is good."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode() + (f"exit code {done.returncode}" if done.returncode else "")
