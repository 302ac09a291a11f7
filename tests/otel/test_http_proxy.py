"""Delivery through a proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY)."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.otel.certificates import certificates
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import ReceiverStub, server_context


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_http_proxy_receives_the_whole_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ReceiverStub() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid:4318"}
        with ExportHarness(tmp_path, endpoint, signals=("logs",)) as harness:
            harness.send([event()])
            proxy.wait(lambda: proxy.accepted("logs"), "delivery")
        assert proxy.requests[0].path == "http://collector.invalid:4318/v1/logs"


def test_no_proxy_address_bypasses_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with (
        ReceiverStub() as stub,
        ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness,
    ):
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs"), "delivery")


@pytest.mark.parametrize("excluded", ["127.0.0.0/8", "10.0.0.0/8,127.0.0.0/8,.svc,.cluster.local", "*"])
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_network_bypasses_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, excluded: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, excluded)
    with (
        ReceiverStub() as stub,
        ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness,
    ):
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs"), "delivery")


class TunnelHandler(socketserver.StreamRequestHandler):
    """Handles CONNECT; every tunnel leads to the same port."""

    server: "ProxyStub"

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        self.server.heads.append(head.decode())
        with socket.create_connection(("127.0.0.1", self.server.target_port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(there, self.connection))
            back.start()
            copy(self.connection, there)
            back.join()


class ProxyStub(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), TunnelHandler)
        self.target_port = target_port
        self.heads: list[str] = []


def copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return certificates(tmp_path)


@pytest.fixture
def receiver(folder: Path) -> Iterator[ReceiverStub]:
    with ReceiverStub(context=server_context(folder)) as stub:
        yield stub


def test_https_proxy_opens_a_tunnel(
    tmp_path: Path, folder: Path, receiver: ReceiverStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.url.rpartition(":")[2])
    with ProxyStub(port) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            monkeypatch.setenv("https_proxy", f"http://eve:pass@127.0.0.1:{proxy.server_address[1]}")
            variables = {
                # The proxy ignores the port; the certificate is for the address.
                "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": str(folder / "ca.pem"),
            }
            with ExportHarness(tmp_path, variables, signals=("logs",)) as harness:
                harness.send([event()])
                receiver.wait(lambda: receiver.accepted("logs"), "delivery")
            assert proxy.heads[0].startswith("CONNECT 127.0.0.1:1 ")
            assert "Proxy-Authorization: Basic ZXZlOnBhc3M=" in proxy.heads[0]
        finally:
            proxy.shutdown()
            serving.join()
