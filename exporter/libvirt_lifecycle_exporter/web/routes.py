"""The Starlette application: /metrics, /-/healthy, /-/ready and the page at /."""

import html
from collections.abc import Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route


class Health(Protocol):
    """State of the exporter that the health endpoints report."""

    def unhealthy_reason(self) -> str | None:
        """Return why the process itself does not work; None: it works."""

    def is_ready(self) -> bool:
        """Return whether the domains of at least one connection have been listed."""

    def down_connections(self) -> list[str]:
        """Return the labels of the connections that are down."""


def create_application(metrics: Callable[[Request], Response], health: Health, version: str) -> Starlette:
    """Build the application. ``metrics``: the synchronous handler of /metrics."""

    async def handle_healthy(_request: Request) -> Response:
        reason = health.unhealthy_reason()
        return PlainTextResponse(f"{reason or 'OK'}\n", status_code=503 if reason else 200)

    async def handle_ready(_request: Request) -> Response:
        lines = [f"connection {name} is down" for name in health.down_connections()]
        if health.is_ready():
            return PlainTextResponse("\n".join(["Ready", *lines]) + "\n")
        return PlainTextResponse(
            "\n".join(["Not ready: no domains listed yet", *lines]) + "\n", status_code=503
        )

    async def handle_page(_request: Request) -> Response:
        return HTMLResponse(_render_page(health, version))

    application = Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/-/healthy", handle_healthy),
            Route("/-/ready", handle_ready),
            Route("/", handle_page),
        ]
    )
    # Other paths are 404: /metrics/ is not redirected to /metrics.
    application.router.redirect_slashes = False
    return application


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
@media (prefers-color-scheme: dark) { body { background: #15181c; color: #e3e6ea } a { color: #7ab7ff } }
h1 { font-size: 1.4rem } small { opacity: .7 } li { margin: .3rem 0 }
"""


def _render_page(health: Health, version: str) -> str:
    """Render the page. Its links are relative, so that they work behind a proxy that adds a path prefix."""
    reason = health.unhealthy_reason()
    if reason:
        state = reason
    elif not health.is_ready():
        state = "Waiting for libvirt."
    elif health.down_connections():
        state = "Receiving events, but not from every connection."
    else:
        state = "Receiving events."
    down = "".join(
        f"<li>connection <b>{html.escape(name)}</b> is down</li>" for name in health.down_connections()
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>libvirt-lifecycle-exporter</title><style>{_STYLE}</style>
<h1>libvirt-lifecycle-exporter <small>{html.escape(version)}</small></h1>
<p>Lifecycle events of libvirt domains as Prometheus metrics. <b>{html.escape(state)}</b></p>
<ul>{down}
<li><a href="metrics">/metrics</a>: metrics for Prometheus</li>
<li><a href="-/healthy">/-/healthy</a>: whether the process works</li>
<li><a href="-/ready">/-/ready</a>: whether the domains of at least one connection have been listed</li>
</ul>
</html>
"""
