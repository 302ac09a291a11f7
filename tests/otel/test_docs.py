"""The examples of docs/otel.md work."""

import re
import subprocess
import textwrap
from pathlib import Path

from tests.lab.collector import CollectorProcess
from tests.lab.exporter import free_port
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import ReceiverStub, StubResponse

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = DOCS / "otel-collector.yaml"


def test_collector_configuration_queues_on_disk(tmp_path: Path) -> None:
    """The back ends fail, the Collector restarts, the back ends recover."""
    port, health = free_port(), free_port()
    with ReceiverStub(lambda _: StubResponse(503)) as back_end:
        text = CONFIGURATION.read_text()
        for theirs, ours in {
            "http://tempo:4318": back_end.url,
            "http://loki:3100/otlp": back_end.url,
            "/var/lib/otelcol/queue": str(tmp_path / "queue"),
            "127.0.0.1:4318": f"127.0.0.1:{port}",
            "127.0.0.1:4317": f"127.0.0.1:{free_port()}",
            "127.0.0.1:13133": f"127.0.0.1:{health}",
        }.items():
            assert theirs in text
            text = text.replace(theirs, ours)
        with CollectorProcess(tmp_path, text, health) as collector:
            environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
            with ExportHarness(tmp_path, environment) as harness:
                harness.send(event() for _ in range(5))
                back_end.wait(
                    lambda: {request.path for request in back_end.requests} >= {"/v1/traces", "/v1/logs"},
                    "attempts",
                )
                back_end.wait(
                    lambda: not harness.pending("traces") + harness.pending("logs"), "delivery of all items"
                )
            collector.stop()
            back_end.respond = lambda _: StubResponse()
            collector.start()
            everything = {1, 2, 3, 4, 5}
            back_end.wait(lambda: set(back_end.numbers("traces")) == everything, "the spans", 30)
            back_end.wait(lambda: set(back_end.numbers("logs")) == everything, "the records", 30)


def test_scrape_configuration_is_valid_for_prometheus(tmp_path: Path) -> None:
    """The Collector's prometheus receiver uses the format of Prometheus."""
    (found,) = re.findall(
        r"\n  prometheus:\n    config:\n(.*?)\nservice:", (DOCS / "otel.md").read_text(), re.DOTALL
    )
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(textwrap.dedent(found))
    done = subprocess.run(
        ["promtool", "check", "config", configuration], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "libvirt-lifecycle" in configuration.read_text()
