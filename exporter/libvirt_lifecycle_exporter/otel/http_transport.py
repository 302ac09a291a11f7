"""OTLP over HTTP, binary protobuf: one request, one true answer.

The SDK's own exporter says SUCCESS to a redirect and to a receiver that rejected everything, and retries by
itself for as long as it likes; so the request goes out from here, and the answer comes back as it is.

Law: a request takes as long as the endpoint's timeout at the most, whatever the receiver does, but for the
resolver's time to find its name. No redirect is followed.
"""

import base64
import gzip
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.config.telemetry import Endpoint
from libvirt_lifecycle_exporter.otel.no_proxy import bypasses_proxy
from libvirt_lifecycle_exporter.otel.responses import Answer, Verdict, of_http, short

_MOST_ANSWER = 1 << 20
_ERRORS = (OSError, http.client.HTTPException)


class HttpTransport:
    """A connection to a receiver, kept open between requests."""

    def __init__(self, signal: str, endpoint: Endpoint) -> None:
        """Raises OSError where certificate or key cannot be used."""
        self._signal = signal
        self._endpoint = endpoint
        self._url = urlsplit(endpoint.url)
        self._context = _context(endpoint) if self._url.scheme == "https" else None
        self._proxy = _proxy(self._url)
        self._headers = _headers(endpoint, self._url)
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._aborted = False
        self._late = False

    def send(self, payload: bytes) -> Answer:
        body = gzip.compress(payload, mtime=0) if self._endpoint.compression == "gzip" else payload
        self._late = False
        timer = threading.Timer(self._endpoint.timeout, self._expire)
        timer.daemon = True
        timer.start()
        try:
            return self._exchange(body)
        except _ERRORS as error:
            self.close()
            late = f"no answer within {self._endpoint.timeout:g} s"
            return Answer(Verdict.LATER, late if self._late else short(str(error) or type(error).__name__))
        finally:
            timer.cancel()

    def abort(self) -> None:
        self._aborted = True
        self._cut()

    def close(self) -> None:
        connection, self._connection, sock, self._socket = self._connection, None, self._socket, None
        if connection is not None:
            connection.close()
        if sock is not None:
            sock.close()

    def _exchange(self, body: bytes) -> Answer:
        if self._connection is not None:
            try:
                return self._ask(self._connection, body)
            except _ERRORS:
                # A receiver may end a connection that rests, at any time.
                self.close()
                if self._late or self._aborted:
                    raise
        return self._ask(self._open(), body)

    def _ask(self, connection: http.client.HTTPConnection, body: bytes) -> Answer:
        connection.request("POST", self._target(), body, self._headers)
        answer = connection.getresponse()
        content = answer.read(_MOST_ANSWER)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close or not answer.isclosed():
            self.close()
        return of_http(self._signal, answer.status, headers, content, time.time())

    def _open(self) -> http.client.HTTPConnection:
        where = self._proxy or self._url
        host, port = where.hostname or "", where.port or (443 if where.scheme == "https" else 80)
        if self._aborted:
            raise ConnectionAbortedError("it was told to end")
        connection = http.client.HTTPConnection(host, port, timeout=self._endpoint.timeout)
        if self._proxy is not None and self._context is not None:
            connection.set_tunnel(
                self._url.hostname or "", self._url.port or 443, _credentials(self._proxy, "Proxy-")
            )
        sock = self._keep(socket.create_connection((host, port), self._endpoint.timeout))
        connection.sock = sock
        self._connection = connection
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            if self._proxy is not None:
                connection._tunnel()  # type: ignore[attr-defined]  # noqa: SLF001 - connect() would open another socket
            wrapped = self._context.wrap_socket(
                sock, server_hostname=self._url.hostname, do_handshake_on_connect=False
            )
            connection.sock = self._keep(wrapped)
            wrapped.do_handshake()
        return connection

    def _keep(self, sock: socket.socket) -> socket.socket:
        """Remember the socket for whoever cuts it."""
        self._socket = sock
        if self._aborted or self._late:
            sock.close()
            raise ConnectionAbortedError("it was told to end")
        return sock

    def _target(self) -> str:
        path = self._url.path or "/"
        target = f"{path}?{self._url.query}" if self._url.query else path
        if self._proxy is not None and self._context is None:
            return f"http://{self._url.netloc.rpartition('@')[2]}{target}"
        return target

    def _expire(self) -> None:
        self._late = True
        self._cut()

    def _cut(self) -> None:
        sock = self._socket
        if sock is not None:
            try:
                # Not SSLSocket's own, which would take away what the other thread is using.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.certificate or None)
    # Strict by default from Python 3.13 on: a home-made authority that lacks an extension is taken elsewhere.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if endpoint.client_certificate:
        context.load_cert_chain(endpoint.client_certificate, endpoint.client_key or None)
    return context


def _proxy(url: SplitResult) -> SplitResult | None:
    """Find the proxy that the usual variables ask for."""
    proxy = getproxies().get(url.scheme, "")
    port = url.port or (443 if url.scheme == "https" else 80)
    if not proxy or bypasses_proxy(url.hostname or "", port):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _headers(endpoint: Endpoint, url: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": f"libvirt-lifecycle-exporter/{__version__}"}
    headers.update(_credentials(url))
    headers.update({name.title(): value for name, value in endpoint.headers})
    headers["Content-Type"] = "application/x-protobuf"
    headers.update({"Content-Encoding": "gzip"} if endpoint.compression == "gzip" else {})
    return headers


def _credentials(url: SplitResult, whose: str = "") -> dict[str, str]:
    if url.username is None:
        return {}
    both = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {f"{whose}Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}
