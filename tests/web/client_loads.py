"""Load generators that try to make a server use memory: one function for each kind of load."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import Final

from tests.web.running_server import basic_auth

_TIMEOUT = 20
_MEBIBYTE: Final = 1 << 20
_VALID_CREDENTIALS = f"Authorization: {basic_auth('prometheus', 'right')['Authorization']}"


class Clients:
    """Opens connections to one server and keeps them open until ``close``."""

    def __init__(self, port: int, *, tls: bool) -> None:
        self.port = port
        self.tls = tls
        self._open = ExitStack()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def close(self) -> None:
        self._open.close()

    def connect(self) -> socket.socket:
        """Open a TCP connection without sending anything."""
        return self._open.enter_context(socket.create_connection(("127.0.0.1", self.port), _TIMEOUT))

    def connect_http(self) -> socket.socket:
        """Open a connection that is ready for HTTP: with TLS, after the handshake."""
        plain = self.connect()
        if not self.tls:
            return plain
        return self._open.enter_context(self._context.wrap_socket(plain))

    def scrape(self) -> int:
        """Return the status of /metrics with valid credentials; 0: no response."""
        try:
            client = self.connect_http()
            client.sendall(_request(_VALID_CREDENTIALS, "Connection: close"))
            return int(client.makefile("rb").read().split(b" ", 2)[1])
        except OSError:
            return 0


@contextmanager
def clients_of(port: int, *, tls: bool) -> Iterator[Clients]:
    clients = Clients(port, tls=tls)
    try:
        yield clients
    finally:
        clients.close()


def _request(*lines: str) -> bytes:
    return "\r\n".join(["GET /metrics HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def idle(clients: Clients, number: int) -> None:
    """Open connections without sending anything."""
    for _ in range(number):
        clients.connect()


def half_hello(clients: Clients, number: int) -> None:
    """Send the first bytes of a ClientHello that announces 512 bytes."""
    for count in range(number):
        clients.connect().sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[: 1 + count % 11])


def slow_headers(clients: Clients, number: int) -> None:
    """Send a request whose headers do not end."""
    for _ in range(number):
        with suppress(OSError):
            clients.connect_http().sendall(_request()[:-2] + b"X-Slow: " + b"y" * 10_000)


def guess_passwords(clients: Clients, number: int) -> None:
    """Send a request with a wrong password on each connection."""
    for count in range(number):
        guess = basic_auth("prometheus", f"guess{count}")["Authorization"]
        with suppress(OSError):
            clients.connect_http().sendall(_request(f"Authorization: {guess}"))


def large_headers(clients: Clients, number: int) -> None:
    """Send up to 8 MB of headers on each connection."""
    for _ in range(number // 8):
        with suppress(OSError):
            client = clients.connect_http()
            client.sendall(_request()[:-2] + b"X-Large: ")
            for _ in range(8):
                client.sendall(b"y" * _MEBIBYTE)


def slow_readers(clients: Clients, number: int) -> None:
    """Send 8 pipelined requests on each connection, and read nothing."""
    for _ in range(number // 2):
        with suppress(OSError):
            clients.connect_http().sendall(_request(_VALID_CREDENTIALS) * 8)


LOADS: Mapping[str, Callable[[Clients, int], None]] = MappingProxyType(
    {
        "idle": idle,
        "half_hello": half_hello,
        "slow_headers": slow_headers,
        "guess_passwords": guess_passwords,
        "large_headers": large_headers,
        "slow_readers": slow_readers,
    }
)
