"""A real Alertmanager, and a receiver of its webhook notifications."""

import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.lab.exporter import free_port
from tests.lab.service import Service

EXAMPLE = Path(__file__).parents[2] / "alerts/alertmanager.example.yaml"
RECEIVER = "http://127.0.0.1:9095/"
"""URL of the webhook receiver in the example configuration."""
PROGRAMS = ("prometheus-alertmanager", "alertmanager")
"""Name of the program in Debian, and elsewhere."""


class ReceivedAlert(NamedTuple):
    """One alert of one notification."""

    at: float
    """When the notification arrived; Unix time in seconds."""
    notification: int
    """Sequence number of the notification."""
    status: str
    """firing or resolved."""
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: float

    @property
    def name(self) -> str:
        return self.labels["alertname"]


class Pager:
    """Recorder of the notifications that Alertmanager sends to its webhook. A context manager."""

    def __init__(self) -> None:
        self.received: list[ReceivedAlert] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()
                pager.take(json.loads(body))

            def log_message(self, *_: object) -> None:
                """Write no log."""

        self._notifications = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="pager", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, notification: dict[str, Any]) -> None:
        with self._lock:
            self._notifications += 1
            self.received += [
                ReceivedAlert(
                    time.time(),
                    self._notifications,
                    alert["status"],
                    alert["labels"],
                    alert["annotations"],
                    datetime.fromisoformat(alert["startsAt"]).timestamp(),
                )
                for alert in notification["alerts"]
            ]


class Alertmanager(Service):
    """An Alertmanager process with the configuration text `config`. A context manager."""

    def __init__(self, folder: Path, config: str) -> None:
        self.port = free_port()
        path = folder / "alertmanager.yaml"
        path.write_text(config)
        argv = [
            program(),
            f"--config.file={path}",
            f"--storage.path={folder / 'alertmanager-data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        super().__init__(folder, argv, f"http://127.0.0.1:{self.port}/-/ready", folder / "alertmanager.log")

    @property
    def alerting(self) -> dict[str, Any]:
        """The `alerting` section of the configuration of Prometheus."""
        return {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]}]}

    def alerts(self) -> Sequence[dict[str, Any]]:
        """Return the active alerts, inhibited or not."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found

    def post(self, alerts: Sequence[dict[str, str]]) -> None:
        """Create alerts with these labels, as Prometheus does."""
        body = json.dumps([{"labels": labels} for labels in alerts]).encode()
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def program() -> str:
    """Return the name of the installed program. Raises FileNotFoundError."""
    for name in PROGRAMS:
        if shutil.which(name):
            return name
    raise FileNotFoundError(f"Alertmanager not found: install one of {', '.join(PROGRAMS)}")
