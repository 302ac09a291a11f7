"""The real server with a page of its own, under a web configuration, and clients of all kinds."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import bcrypt
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.server import Server, bind
from tests.lab.waiting import until

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"


def hashed(password: str) -> str:
    """As cheap as can be."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


class Served:
    """A running server; `ask` opens a connection of its own each time."""

    def __init__(self, port: int, entrance: AccessControl, folder: Path) -> None:
        self.port = port
        self.entrance = entrance
        self.folder = folder

    def client(self, certificate: str = "", *, authority: str = "ca") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / f"{authority}.pem"))
        # Since Python 3.13 it refuses authorities that Prometheus takes.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate:
            context.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        return context

    def ask(
        self,
        context: ssl.SSLContext | None = None,
        *,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str]]:
        """Status and headers (names in lower case). Raises OSError where nobody answers."""
        scheme = "https" if context else "http"
        opener = build_opener(ProxyHandler({}), *([HTTPSHandler(context=context)] if context else []))
        request = Request(f"{scheme}://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        try:
            with opener.open(request, timeout=20) as answer:
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        except HTTPError as refused:
            with refused:
                return refused.code, {name.lower(): value for name, value in refused.headers.items()}

    def negotiated_cipher(self, context: ssl.SSLContext) -> str:
        """OpenSSL's name of the cipher suite that a client agrees on with the server."""
        with (
            socket.create_connection(("127.0.0.1", self.port), 20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            return (wrapped.cipher() or ("",))[0]

    def write(self, text: str) -> None:
        """Change the file."""
        (self.folder / "web.yml").write_text(text)

    def reread(self, text: str) -> None:
        """Change the file and wait until it is in force."""
        before = self.entrance.reloaded_at
        self.write(text)
        until(lambda: self.entrance.reloaded_at != before, 20, "the new configuration")


@contextmanager
def serving(folder: Path, text: str | None, *, host: str = "127.0.0.1") -> Iterator[Served]:
    """With `text` as its web configuration; None: without any."""

    async def page(_: Asked) -> PlainTextResponse:
        return PlainTextResponse("here\n")

    file = folder / "web.yml"
    if text is not None:
        file.write_text(text)
    entrance = AccessControl(str(file) if text is not None else "")
    (listening,) = bind(host, 0)
    ended = threading.Event()
    server = Server(Starlette(routes=[Route("/", page)]), [listening], ended.set, entrance)
    port = listening.getsockname()[1]
    server.start()
    try:
        yield Served(port, entrance, folder)
    finally:
        server.stop(10)
        assert ended.wait(10)
