"""Clients that try to make a server use memory: each kind of load is one function over one address."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from typing import Final

from tests.web.serving import basic

_TIMEOUT = 20
_MEBIBYTE: Final = 1 << 20
_RIGHT = f"Authorization: {basic('prometheus', 'right')['Authorization']}"


class Clients:
    """Opens connections to one server and keeps them open until `close`."""

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
        """A TCP connection; nothing is sent."""
        return self._open.enter_context(socket.create_connection(("127.0.0.1", self.port), _TIMEOUT))

    def enter(self) -> socket.socket:
        """A connection on which HTTP can be spoken: with TLS, after its handshake."""
        plain = self.connect()
        if not self.tls:
            return plain
        return self._open.enter_context(self._context.wrap_socket(plain))

    def scrape(self) -> int:
        """The status of /metrics for the user who may see it; 0 where nobody answers."""
        try:
            client = self.enter()
            client.sendall(_request(_RIGHT, "Connection: close"))
            return int(client.makefile("rb").read().split(b" ", 2)[1])
        except OSError:
            return 0


@contextmanager
def clients_of(port: int, *, tls: bool) -> Iterator[Clients]:
    made = Clients(port, tls=tls)
    try:
        yield made
    finally:
        made.close()


def _request(*lines: str) -> bytes:
    return "\r\n".join(["GET /metrics HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def idle(clients: Clients, number: int) -> None:
    for _ in range(number):
        clients.connect()


def half_hello(clients: Clients, number: int) -> None:
    """The beginning of a ClientHello that announces 512 bytes; without TLS half a request line."""
    for count in range(number):
        clients.connect().sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[: 1 + count % 11])


def slow_headers(clients: Clients, number: int) -> None:
    for _ in range(number):
        with suppress(OSError):
            clients.enter().sendall(_request()[:-2] + b"X-Slow: " + b"y" * 10_000)


def guess_passwords(clients: Clients, number: int) -> None:
    for count in range(number):
        guess = basic("prometheus", f"guess{count}")["Authorization"]
        with suppress(OSError):
            clients.enter().sendall(_request(f"Authorization: {guess}"))


def large_headers(clients: Clients, number: int) -> None:
    """8 MB each, as far as the server takes them."""
    for _ in range(number // 8):
        with suppress(OSError):
            client = clients.enter()
            client.sendall(_request()[:-2] + b"X-Large: ")
            for _ in range(8):
                client.sendall(b"y" * _MEBIBYTE)


def slow_readers(clients: Clients, number: int) -> None:
    """Ask 8 times in a row, and read nothing."""
    for _ in range(number // 2):
        with suppress(OSError):
            clients.enter().sendall(_request(_RIGHT) * 8)


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
