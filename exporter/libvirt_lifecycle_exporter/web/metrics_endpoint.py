"""GET /metrics: the renderer's metrics and the registry's, in the client's preferred format and encoding."""

import gzip
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from starlette.requests import Request
from starlette.responses import Response

from libvirt_lifecycle_exporter.web.negotiation import prefers_gzip, prefers_openmetrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = CONTENT_TYPE_PLAIN_0_0_4

_LEVEL = 1
"""The fastest level of gzip: a scrape crosses a network once, and the event path shares the processor."""


_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
"""No name, no time, fastest algorithm, unknown system. https://www.rfc-editor.org/rfc/rfc1952"""


class Deflated(Protocol):
    """Compressed text: blocks of a raw deflate stream without its end, CRC-32 and size of the text."""

    @property
    def data(self) -> bytes: ...
    @property
    def crc(self) -> int: ...
    @property
    def size(self) -> int: ...


class MetricsRenderer(Protocol):
    """Renders metrics without a registry."""

    def render(self, *, openmetrics: bool) -> str:
        """Return the metrics in OpenMetrics 1.0.0 (without ``# EOF``) or in the text format 0.0.4."""

    def deflate(self, *, openmetrics: bool) -> Deflated:
        """Return the same, compressed."""


def create_metrics_endpoint(
    renderer: MetricsRenderer, registry: CollectorRegistry, duration: Histogram
) -> Callable[[Request], Response]:
    """Return the handler of /metrics. ``duration`` observes the seconds that each request takes.

    The handler is synchronous, so Starlette runs it on a worker thread and the event loop stays responsive.
    """
    # Rendering holds the interpreter's lock anyway: one at a time takes no longer and needs far less memory.
    render_lock = threading.Lock()

    def handle_metrics(request: Request) -> Response:
        started = time.perf_counter()
        openmetrics = prefers_openmetrics(_join_header(request, "accept"))
        names = frozenset(request.query_params.getlist("name[]"))
        headers = {"Vary": "Accept, Accept-Encoding"}
        with render_lock:
            is_compressed = prefers_gzip(_join_header(request, "accept-encoding"))
            if is_compressed:
                headers["Content-Encoding"] = "gzip"
            if is_compressed and not names:
                body = _compress_all(renderer, registry, openmetrics=openmetrics)
            else:
                body = render_all(renderer, registry, openmetrics=openmetrics)
                if names:
                    body = filter_metrics(body.decode(), names).encode()
                if is_compressed:
                    body = gzip.compress(body, compresslevel=_LEVEL)
        duration.observe(time.perf_counter() - started)
        return Response(body, headers=headers, media_type=OPENMETRICS if openmetrics else TEXT)

    return handle_metrics


def render_all(renderer: MetricsRenderer, registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """Return the metrics of the renderer, then those of the registry, as one document."""
    return renderer.render(openmetrics=openmetrics).encode() + _render_registry(registry, openmetrics)


def _compress_all(renderer: MetricsRenderer, registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """Return the same document, compressed as one member of gzip; only what has changed is compressed."""
    before = renderer.deflate(openmetrics=openmetrics)
    rest = _render_registry(registry, openmetrics)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    trailer = struct.pack("<II", zlib.crc32(rest, before.crc), (before.size + len(rest)) % 2**32)
    return b"".join((_GZIP_HEADER, before.data, compressor.compress(rest), compressor.flush(), trailer))


def _render_registry(registry: CollectorRegistry, openmetrics: bool) -> bytes:  # noqa: FBT001 - the value
    return bytes(
        openmetrics_exposition.generate_latest(registry) if openmetrics else generate_latest(registry)
    )


def filter_metrics(text: str, names: frozenset[str]) -> str:
    """Keep the metrics and samples with these names.

    A name is that of a metric (all its samples are kept, as Go's exporters do) or of a sample (as Python's
    do).
    """
    kept: list[str] = []
    header: list[str] = []
    is_whole_metric = False
    for line in text.split("\n"):
        if line == "# EOF":
            kept.append(line)
        elif line.startswith("#"):
            _, keyword, metric, *_ = line.split(" ", 3)
            header = [line] if keyword == "HELP" else [*header, line]
            is_whole_metric = metric in names
        elif line and (is_whole_metric or line.partition(" ")[0].partition("{")[0] in names):
            kept += [*header, line]
            header = []
    return "".join(f"{line}\n" for line in kept)


def _join_header(request: Request, name: str) -> str:
    """Return a list header that may occur several times as one value (RFC 9110, section 5.3)."""
    return ", ".join(request.headers.getlist(name))
