"""GET /metrics: the sink's text and the registry's, in the format and encoding the client asks for."""

import gzip
import threading
import time
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


class Renders(Protocol):
    """A sink that can be scraped."""

    def render(self, *, openmetrics: bool) -> str: ...


def endpoint(
    sink: Renders, registry: CollectorRegistry, duration: Histogram
) -> Callable[[Request], Response]:
    """Make the handler. It is synchronous, so it runs on a thread of its own and health stays quick."""
    # Rendering holds the interpreter's lock anyway: one at a time takes no longer, and far less memory.
    rendering = threading.Lock()

    def metrics(request: Request) -> Response:
        started = time.perf_counter()
        openmetrics = prefers_openmetrics(_joined(request, "accept"))
        names = frozenset(request.query_params.getlist("name[]"))
        headers = {"Vary": "Accept, Accept-Encoding"}
        with rendering:
            body = exposition(sink, registry, openmetrics=openmetrics)
            if names:
                body = select(body.decode(), names).encode()
            if prefers_gzip(_joined(request, "accept-encoding")):
                # The fastest level: a scrape crosses a network once, and the event path shares the processor.
                body = gzip.compress(body, compresslevel=1)
                headers["Content-Encoding"] = "gzip"
        duration.observe(time.perf_counter() - started)
        return Response(body, headers=headers, media_type=OPENMETRICS if openmetrics else TEXT)

    return metrics


def exposition(sink: Renders, registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """Write all metrics in one of the two formats."""
    ours = sink.render(openmetrics=openmetrics).encode()
    if openmetrics:
        return ours + bytes(openmetrics_exposition.generate_latest(registry))
    return ours + generate_latest(registry)


def select(text: str, names: frozenset[str]) -> str:
    """Keep the families of these names (as Go's exporters) and the samples of these names (as Python's)."""
    kept: list[str] = []
    header: list[str] = []
    is_whole = False
    for line in text.split("\n"):
        if line == "# EOF":
            kept.append(line)
        elif line.startswith("#"):
            _, keyword, family, *_ = line.split(" ", 3)
            header = [line] if keyword == "HELP" else [*header, line]
            is_whole = family in names
        elif line and (is_whole or line.partition(" ")[0].partition("{")[0] in names):
            kept += [*header, line]
            header = []
    return "".join(f"{line}\n" for line in kept)


def _joined(request: Request, header: str) -> str:
    """Join the lines of a header that is a list."""
    return ", ".join(request.headers.getlist(header))
