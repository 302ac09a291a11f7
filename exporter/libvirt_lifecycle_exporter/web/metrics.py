"""GET /metrics: the sink's text and the registry's, in the format and encoding the client asks for."""

import gzip
import time
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import (
    CONTENT_TYPE_PLAIN_0_0_4,
    choose_encoder,
    generate_latest,
    gzip_accepted,
)
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from starlette.requests import Request
from starlette.responses import Response

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = CONTENT_TYPE_PLAIN_0_0_4


class Renders(Protocol):
    """A sink that can be scraped."""

    def render(self, *, openmetrics: bool) -> str: ...


def endpoint(
    sink: Renders, registry: CollectorRegistry, duration: Histogram
) -> Callable[[Request], Response]:
    """Make the handler. It is synchronous, so it runs on a thread of its own and health stays quick."""

    def metrics(request: Request) -> Response:
        started = time.perf_counter()
        wanted = choose_encoder(request.headers.get("accept", ""))[1]
        openmetrics = wanted.startswith("application/openmetrics-text")
        body = exposition(sink, registry, openmetrics=openmetrics)
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(request.headers.get("accept-encoding", "")):
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
