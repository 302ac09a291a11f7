"""A stub of an OTLP receiver over HTTP that returns any response, also ones that no Collector returns."""

import gzip
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.lab.waiting import until


class StubResponse(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    endless: bool = False
    """Whether the body never ends: one byte at a time."""
    missing: int = 0
    """Number of bytes that the response announces and does not send; then it closes the connection."""
    hangs: bool = False
    """Whether there is no response at all."""


OK = StubResponse()


class ReceivedRequest(NamedTuple):
    path: str
    headers: dict[str, str]
    items: tuple[Any, ...]
    """Spans or log records."""
    is_accepted: bool


class ReceiverStub:
    """Calls `respond` for each request with items; responds with `empty_response` to empty requests."""

    def __init__(
        self,
        respond: Callable[[list[Any]], StubResponse] = lambda _: OK,
        *,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.respond = respond
        self.empty_response = OK
        self.requests: list[ReceivedRequest] = []
        self.stopping = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub.handle(self)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Ignore clients that close the connection; the tests do so on purpose."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if context is not None:
            self._scheme = "https"
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def accepted(self, signal: str) -> list[Any]:
        """Return accepted items in order, with repetitions."""
        return [
            item
            for request in self.requests
            if signal in request.path and request.is_accepted
            for item in request.items
        ]

    def numbers(self, signal: str) -> list[int]:
        """Return the sequence numbers of accepted items."""
        return [number for item in self.accepted(signal) for number in numbers(item)]

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        until(condition, timeout, what)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        items = _items(handler.path.partition("?")[0], body)
        response = self.respond(items) if items else self.empty_response
        headers = {name.lower(): value for name, value in handler.headers.items()}
        is_accepted = not response.hangs and response.status < 300
        self.requests.append(ReceivedRequest(handler.path, headers, tuple(items), is_accepted))
        if response.hangs:
            self.stopping.wait(30)
            return
        handler.send_response(response.status)
        for name, value in response.headers:
            handler.send_header(name, value)
        handler.send_header(
            "Content-Length", str(len(response.body) + response.missing if not response.endless else 1 << 20)
        )
        handler.end_headers()
        handler.wfile.write(response.body)
        handler.close_connection = handler.close_connection or bool(response.missing)
        while response.endless and not self.stopping.wait(0.05):
            handler.wfile.write(b" ")


def numbers(item: Any) -> list[int]:
    """Return the sequence numbers of a span's events or of a log record."""
    events = item.events if hasattr(item, "events") else [item]
    return [
        attribute.value.int_value
        for event in events
        for attribute in event.attributes
        if attribute.key == "libvirt.event.sequence"
    ]


def server_context(folder: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context with the server certificate of `certificates`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


def _items(path: str, body: bytes) -> list[Any]:
    if path.endswith("/v1/traces"):
        spans = ExportTraceServiceRequest.FromString(body)
        return [span for one in spans.resource_spans for scope in one.scope_spans for span in scope.spans]
    logs = ExportLogsServiceRequest.FromString(body)
    return [record for one in logs.resource_logs for scope in one.scope_logs for record in scope.log_records]
