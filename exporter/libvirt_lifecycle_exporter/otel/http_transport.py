"""OTLP over HTTP with binary protobuf: one request, one response.

The SDK's own exporter reports SUCCESS for a redirect and for a receiver that rejected every item, and it
retries on its own schedule. This transport sends the request itself and returns the actual response.

Invariant: a request takes at most the endpoint's timeout, whatever the receiver does, except for the time
that the resolver needs for the receiver's name. Redirects are not followed.

Why not urllib3 or httpx: their timeouts apply to single socket operations, so a receiver that sends one
byte at a time never times out, and neither can abort a request from another thread.
"""

import base64
import gzip
import http.client
import socket
import ssl
import threading
import time
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.config.telemetry import Endpoint
from libvirt_lifecycle_exporter.otel.no_proxy import bypasses_proxy
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus, from_http, sanitize

_MAX_RESPONSE: Final = 1 << 20
"""Bytes of a response body that are read."""
_MAX_PROXY_RESPONSE: Final = 1 << 16
"""Bytes of a proxy's response to CONNECT."""
_ERRORS: Final = (OSError, http.client.HTTPException)


class HttpTransport:
    """A persistent connection to a receiver."""

    def __init__(self, signal: str, endpoint: Endpoint) -> None:
        """Raises OSError if a certificate or a key cannot be used."""
        self._signal = signal
        self._endpoint = endpoint
        self._url = urlsplit(endpoint.url)
        self._context = _create_context(endpoint) if self._url.scheme == "https" else None
        self._proxy = _find_proxy(self._url)
        self._headers = _headers(endpoint, self._url)
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._aborted = False
        self._timed_out = False

    def send(self, payload: bytes) -> ExportResult:
        body = gzip.compress(payload, mtime=0) if self._endpoint.compression == "gzip" else payload
        self._timed_out = False
        timer = threading.Timer(self._endpoint.timeout, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            return self._send(body)
        except _ERRORS as error:
            self.close()
            text = sanitize(str(error) or type(error).__name__)
            if self._timed_out:
                text = f"no response within {self._endpoint.timeout:g} s"
            return ExportResult(ExportStatus.RETRY, text)
        finally:
            timer.cancel()

    def abort(self) -> None:
        self._aborted = True
        self._shut_down_socket()

    def close(self) -> None:
        connection, self._connection, sock, self._socket = self._connection, None, self._socket, None
        if connection is not None:
            connection.close()
        if sock is not None:
            sock.close()

    def _send(self, body: bytes) -> ExportResult:
        if self._connection is not None:
            try:
                return self._request(self._connection, body)
            except _ERRORS:
                # A receiver may close an idle connection at any time: use a new one.
                self.close()
                if self._timed_out or self._aborted:
                    raise
        return self._request(self._connect(), body)

    def _request(self, connection: http.client.HTTPConnection, body: bytes) -> ExportResult:
        connection.request("POST", self._target(), body, self._headers)
        response = connection.getresponse()
        content = response.read(_MAX_RESPONSE)
        if response.length and len(content) < _MAX_RESPONSE:
            # read(amount) returns what there is. An empty body would mean that everything was accepted.
            raise http.client.IncompleteRead(content, response.length)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close or not response.isclosed():
            self.close()
        return from_http(self._signal, response.status, headers, content, time.time())

    def _connect(self) -> http.client.HTTPConnection:
        if self._aborted:
            raise ConnectionAbortedError("export stopped")
        peer = self._proxy or self._url
        host, port = peer.hostname or "", peer.port or (443 if peer.scheme == "https" else 80)
        connection = http.client.HTTPConnection(host, port, timeout=self._endpoint.timeout)
        # connect() would not reveal the socket before it is connected; abort() and the timer need it.
        sock = self._register(socket.create_connection((host, port), self._endpoint.timeout))
        connection.sock = sock
        self._connection = connection
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            if self._proxy is not None:
                _open_tunnel(sock, self._url, _basic_auth(self._proxy, "Proxy-Authorization"))
            tls_socket = self._context.wrap_socket(
                sock, server_hostname=self._url.hostname, do_handshake_on_connect=False
            )
            connection.sock = self._register(tls_socket)
            tls_socket.do_handshake()
        return connection

    def _register(self, sock: socket.socket) -> socket.socket:
        """Register the socket so that another thread can shut it down."""
        self._socket = sock
        if self._aborted or self._timed_out:
            sock.close()
            raise ConnectionAbortedError("export stopped")
        return sock

    def _target(self) -> str:
        """Return the request target: a path, or the whole URL for a proxy without a tunnel."""
        path = self._url.path or "/"
        target = f"{path}?{self._url.query}" if self._url.query else path
        if self._proxy is not None and self._context is None:
            return f"http://{self._url.netloc.rpartition('@')[2]}{target}"
        return target

    def _time_out(self) -> None:
        self._timed_out = True
        self._shut_down_socket()

    def _shut_down_socket(self) -> None:
        sock = self._socket
        if sock is not None:
            try:
                # SSLSocket.shutdown() would also discard the TLS object that the other thread uses.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return


def _open_tunnel(sock: socket.socket, url: SplitResult, headers: dict[str, str]) -> None:
    """Ask a proxy for a tunnel to the receiver. Raises OSError if the proxy refuses it.

    https://www.rfc-editor.org/rfc/rfc9110#name-connect
    """
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    authority = f"{host}:{url.port or 443}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    sock.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    response = bytearray()
    # Byte by byte: what follows the empty line belongs to the tunnel.
    while not response.endswith(b"\r\n\r\n"):
        received = sock.recv(1)
        if not received or len(response) == _MAX_PROXY_RESPONSE:
            raise ConnectionError("the proxy's response to CONNECT is not HTTP")
        response += received
    status = response.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.startswith("HTTP/1.") or status.split(" ")[1:2] != ["200"]:
        raise ConnectionError(f"the proxy refuses the tunnel: {status}")


def _create_context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.certificate or None)
    # Python 3.13 and later set this flag by default; it rejects private CAs that lack an extension.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if endpoint.client_certificate:
        context.load_cert_chain(endpoint.client_certificate, endpoint.client_key or None)
    return context


def _find_proxy(url: SplitResult) -> SplitResult | None:
    """Return the URL of the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY select; None: no proxy."""
    proxy = getproxies().get(url.scheme, "")
    port = url.port or (443 if url.scheme == "https" else 80)
    if not proxy or bypasses_proxy(url.hostname or "", port):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _headers(endpoint: Endpoint, url: SplitResult) -> dict[str, str]:
    headers = {"User-Agent": f"libvirt-lifecycle-exporter/{__version__}"}
    headers.update(_basic_auth(url, "Authorization"))
    headers.update({name.title(): value for name, value in endpoint.headers})
    headers["Content-Type"] = "application/x-protobuf"
    headers.update({"Content-Encoding": "gzip"} if endpoint.compression == "gzip" else {})
    return headers


def _basic_auth(url: SplitResult, header: str) -> dict[str, str]:
    """Return the header for the user and password of a URL; none if the URL has no user."""
    if url.username is None:
        return {}
    credentials = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: f"Basic {base64.b64encode(credentials.encode()).decode()}"}
