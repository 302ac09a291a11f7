"""The routes, and the page at /."""

import html
from collections.abc import Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route


class Health(Protocol):
    """What the probes ask."""

    def trouble(self) -> str | None:
        """Say what is wrong with the process itself, if anything."""

    def ready(self) -> bool:
        """Tell whether at least one connection has been listed."""

    def down(self) -> list[str]:
        """Name the connections that are down."""


def site(metrics: Callable[[Request], Response], health: Health, version: str) -> Starlette:
    """Build the application."""

    async def healthy(_request: Request) -> Response:
        trouble = health.trouble()
        return PlainTextResponse(f"{trouble or 'OK'}\n", status_code=503 if trouble else 200)

    async def ready(_request: Request) -> Response:
        down = health.down()
        lines = [f"connection {name} is down" for name in down]
        if health.ready():
            return PlainTextResponse("\n".join(["Ready", *lines]) + "\n")
        return PlainTextResponse(
            "\n".join(["Not ready: no domains listed yet", *lines]) + "\n", status_code=503
        )

    async def page(_request: Request) -> Response:
        return HTMLResponse(_page(health, version))

    application = Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/", page),
        ]
    )
    # What is not listed above is not there; nobody is led from /metrics/ to /metrics.
    application.router.redirect_slashes = False
    return application


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
@media (prefers-color-scheme: dark) { body { background: #15181c; color: #e3e6ea } a { color: #7ab7ff } }
h1 { font-size: 1.4rem } small { opacity: .7 } li { margin: .3rem 0 }
"""


# The links are relative, so that they work behind a proxy that puts the exporter under a path.
def _page(health: Health, version: str) -> str:
    trouble = health.trouble()
    if trouble:
        state = trouble
    elif not health.ready():
        state = "Waiting for libvirt."
    elif health.down():
        state = "Listening, but not to every connection."
    else:
        state = "Listening."
    down = "".join(f"<li>connection <b>{html.escape(name)}</b> is down</li>" for name in health.down())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>libvirt-lifecycle-exporter</title><style>{_STYLE}</style>
<h1>libvirt-lifecycle-exporter <small>{html.escape(version)}</small></h1>
<p>Which of my machines crashed, hung, stopped or moved, when, and why? <b>{html.escape(state)}</b></p>
<ul>{down}
<li><a href="metrics">/metrics</a> for Prometheus</li>
<li><a href="-/healthy">/-/healthy</a> the process works</li>
<li><a href="-/ready">/-/ready</a> at least one connection has been listed; names those that are down</li>
</ul>
</html>
"""
