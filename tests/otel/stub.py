"""An OTLP receiver over HTTP that answers as it is told: what a real Collector does not do."""

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


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    drip: bool = False
    """One byte at a time, for ever."""
    silent: bool = False
    """No answer at all."""


WELL = Reply()


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    items: tuple[Any, ...]
    """Spans or log records."""
    answered: int


class Stub:
    """`replies` is asked for each request that holds something; `empty` answers the others."""

    def __init__(
        self, replies: Callable[[list[Any]], Reply] = lambda _: WELL, *, context: ssl.SSLContext | None = None
    ) -> None:
        self.replies = replies
        self.empty = WELL
        self.got: list[Got] = []
        self.over = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Whoever hangs up does so on purpose."""

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
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def taken(self, signal: str) -> list[Any]:
        """What was accepted, in order, with what came twice."""
        return [item for got in self.got if signal in got.path and got.answered < 300 for item in got.items]

    def numbers(self, signal: str) -> list[int]:
        """The sequence numbers of what was accepted."""
        return [number for item in self.taken(signal) for number in numbers(item)]

    def wait(self, told: Callable[[], object], what: str, timeout: float = 20.0) -> None:
        until(told, timeout, what)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        items = _items(request.path.partition("?")[0], body)
        reply = self.replies(items) if items else self.empty
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(request.path, headers, tuple(items), 999 if reply.silent else reply.status))
        if reply.silent:
            self.over.wait(30)
            return
        request.send_response(reply.status)
        for name, value in reply.headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(reply.body) if not reply.drip else 1 << 20))
        request.end_headers()
        request.wfile.write(reply.body)
        while reply.drip and not self.over.wait(0.05):
            request.wfile.write(b" ")


def numbers(item: Any) -> list[int]:
    """Of a span's events, or of a log record."""
    told = item.events if hasattr(item, "events") else [item]
    return [
        one.value.int_value
        for event in told
        for one in event.attributes
        if one.key == "libvirt.event.sequence"
    ]


def server_context(folder: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """What a receiver needs that has the certificate of `certificates`."""
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
