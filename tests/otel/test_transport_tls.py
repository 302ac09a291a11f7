"""TLS of both transports: trusted receivers and client certificates."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc

from tests.lab.waiting import until
from tests.otel.captured_logs import log_text
from tests.otel.certificates import certificates
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import ReceiverStub, server_context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certificates"))


def variables(url: str, folder: Path, authority: str = "ca", *, client: bool = False) -> dict[str, str]:
    found = {"ENDPOINT": url, "CERTIFICATE": str(folder / f"{authority}.pem"), "TIMEOUT": "2000"}
    if client:
        found |= {"CLIENT_CERTIFICATE": str(folder / "client.pem"), "CLIENT_KEY": str(folder / "client.key")}
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in found.items()}


def test_trusted_receiver_gets_the_items(tmp_path: Path, folder: Path) -> None:
    with (
        ReceiverStub(context=server_context(folder)) as stub,
        ExportHarness(tmp_path, variables(stub.url, folder)) as harness,
    ):
        harness.send([event()])
        stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "both")


def test_untrusted_receiver_gets_nothing(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        ReceiverStub(context=server_context(folder)) as stub,
        ExportHarness(tmp_path, variables(stub.url, folder, "stranger")) as harness,
    ):
        harness.send([event()])
        until(lambda: harness.sender("traces").failures and harness.sender("logs").failures, 10, "attempts")
        assert not stub.requests
        assert harness.pending("traces") == harness.pending("logs") == 1
        assert "CERTIFICATE_VERIFY_FAILED" in log_text(caplog)


def test_receiver_that_requires_a_client_certificate(tmp_path: Path, folder: Path) -> None:
    context = server_context(folder, client_ca=folder / "ca.pem")
    with ReceiverStub(context=context) as stub:
        with ExportHarness(tmp_path, variables(stub.url, folder)) as harness:
            harness.send([event()])
            until(
                lambda: harness.sender("traces").failures and harness.sender("logs").failures, 10, "attempts"
            )
            assert not stub.requests
        with ExportHarness(tmp_path, variables(stub.url, folder, client=True)) as harness:
            stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "both")
            until(lambda: not harness.pending("logs") + harness.pending("traces"), 10, "an empty queue")


class LogsServicer(logs_grpc.LogsServiceServicer):
    def __init__(self) -> None:
        self.accepted = 0

    def Export(self, request: logs.ExportLogsServiceRequest, _: object) -> logs.ExportLogsServiceResponse:  # noqa: N802
        self.accepted += len(request.resource_logs)
        return logs.ExportLogsServiceResponse()


@contextmanager
def grpc_receiver(folder: Path) -> Iterator[tuple[LogsServicer, str]]:
    """Run a receiver that requires a client certificate; yield its servicer and its URL."""
    server, servicer = grpc.server(futures.ThreadPoolExecutor(2)), LogsServicer()
    logs_grpc.add_LogsServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call] # generated
    own = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    credentials = grpc.ssl_server_credentials(
        [own], (folder / "ca.pem").read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield servicer, f"https://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_grpc_with_a_client_certificate(tmp_path: Path, folder: Path) -> None:
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with grpc_receiver(folder) as (servicer, url):
        for authority, client in (("stranger", True), ("ca", False)):
            given = variables(url, folder, authority, client=client) | protocol
            with ExportHarness(tmp_path, given, signals=("logs",)) as harness:
                harness.send([event()])
                until(lambda harness=harness: harness.sender("logs").failures, 10, "an attempt")  # type: ignore[misc]
                assert not servicer.accepted
        with ExportHarness(
            tmp_path, variables(url, folder, client=True) | protocol, signals=("logs",)
        ) as harness:
            until(lambda: not harness.pending("logs"), 10, "an empty queue")
            assert servicer.accepted
