"""Packages of optional parts are imported only if the part is used: each takes memory."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from libvirt_lifecycle_exporter.app import application as app
from libvirt_lifecycle_exporter.cli.main import main as cli
from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.config.telemetry import read_telemetry
import os, tempfile
settings = Settings(journal_path=tempfile.mkdtemp() + "/journal", telemetry=read_telemetry(os.environ))
app.App(settings, [])
found = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(found & {"bcrypt", "google", "grpc", "opentelemetry", "requests", "rich", "yaml"})))
"""


@pytest.mark.parametrize(
    ("variables", "imported"),
    [
        ({}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, ["google", "opentelemetry"]),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["google", "grpc", "opentelemetry"],
        ),
    ],
)
def test_imported_packages(variables: dict[str, str], imported: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == imported
