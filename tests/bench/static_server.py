"""Floor of a scrape: the exporter's web server, whose /metrics returns the bytes of a file.

    python -m tests.bench.static_server FILE PORT

The route, its thread and the headers are those of the exporter; only the page is not rendered.
"""

import gzip
import sys
import threading
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from libvirt_lifecycle_exporter.web.metrics_endpoint import TEXT
from libvirt_lifecycle_exporter.web.negotiation import prefers_gzip
from libvirt_lifecycle_exporter.web.routes import create_application
from libvirt_lifecycle_exporter.web.server import Server, bind


class AlwaysReady:
    def unhealthy_reason(self) -> str | None:
        return None

    def is_ready(self) -> bool:
        return True

    def down_connections(self) -> list[str]:
        return []


def main(file: Path, port: int) -> None:
    plain = file.read_bytes()
    packed = gzip.compress(plain, compresslevel=1)

    def handle_metrics(request: Request) -> Response:
        headers = {"Vary": "Accept, Accept-Encoding"}
        if prefers_gzip(request.headers.get("accept-encoding", "")):
            return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=TEXT)
        return Response(plain, headers=headers, media_type=TEXT)

    ended = threading.Event()
    application = create_application(handle_metrics, AlwaysReady(), "static")
    Server(application, bind("127.0.0.1", port), on_end=ended.set).start()
    ended.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
