"""Run the real server with a minimal application and a web configuration, and send requests to it."""

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
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.server import Server, bind
from tests.lab.waiting import until

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"


def bcrypt_hash(password: str) -> str:
    """Return a hash of the lowest cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic_auth(user: str, password: str) -> dict[str, str]:
    """Return the Authorization header."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


class RunningServer:
    """A client of a running server; ``get`` opens a new connection each time."""

    def __init__(self, port: int, access: AccessControl, folder: Path) -> None:
        self.port = port
        self.access = access
        self.folder = folder

    def client_context(self, certificate: str = "", *, authority: str = "ca") -> ssl.SSLContext:
        """Return a client's context that trusts ``authority`` and presents ``certificate``, if any."""
        context = ssl.create_default_context(cafile=str(self.folder / f"{authority}.pem"))
        # Since Python 3.13 the default refuses authorities that Prometheus accepts.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if certificate:
            context.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        return context

    def get(
        self,
        context: ssl.SSLContext | None = None,
        *,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str]]:
        """Return status and headers (names in lower case). Raises OSError if there is no response."""
        scheme = "https" if context else "http"
        opener = build_opener(ProxyHandler({}), *([HTTPSHandler(context=context)] if context else []))
        request = Request(f"{scheme}://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        try:
            with opener.open(request, timeout=20) as response:
                return response.status, {name.lower(): value for name, value in response.headers.items()}
        except HTTPError as error:
            with error:
                return error.code, {name.lower(): value for name, value in error.headers.items()}

    def negotiated_cipher(self, context: ssl.SSLContext) -> str:
        """Return OpenSSL's name of the cipher suite that client and server negotiate."""
        with (
            socket.create_connection(("127.0.0.1", self.port), 20) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            return (wrapped.cipher() or ("",))[0]

    def write_config(self, text: str) -> None:
        """Write the web configuration file."""
        (self.folder / "web.yml").write_text(text)

    def reload_config(self, text: str) -> None:
        """Write the web configuration file and wait until it is active."""
        before = self.access.reloaded_at
        self.write_config(text)
        until(lambda: self.access.reloaded_at != before, 20, "the new configuration")


@contextmanager
def running_server(folder: Path, text: str | None, *, host: str = "127.0.0.1") -> Iterator[RunningServer]:
    """Run a server with ``text`` as its web configuration; None: without one."""

    async def page(_: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse("hello\n")

    file = folder / "web.yml"
    if text is not None:
        file.write_text(text)
    access = AccessControl(str(file) if text is not None else "")
    (listening,) = bind(host, 0)
    ended = threading.Event()
    server = Server(Starlette(routes=[Route("/", page)]), [listening], ended.set, access)
    port = listening.getsockname()[1]
    server.start()
    try:
        yield RunningServer(port, access, folder)
    finally:
        server.stop(10)
        assert ended.wait(10)
