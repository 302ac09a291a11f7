"""Idle and slow clients do not delay other clients."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp as ASGIApplication
from starlette.types import Receive, Scope, Send

from libvirt_lifecycle_exporter.web.acceptor import MAX_CONNECTIONS, Acceptor
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection, Stage
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.exporter import free_port
from tests.lab.page import Page
from tests.lab.waiting import until
from tests.web.running_server import TLS, RunningServer, running_server

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def idle_clients(server: RunningServer, number: int) -> Iterator[list[socket.socket]]:
    """Open TCP connections without sending anything."""
    clients = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(number)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def test_incomplete_tls_handshakes_delay_no_client(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server, idle_clients(server, 30) as clients:
        for number, client in enumerate(clients[::2]):
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00"[: 1 + number % 7])
        assert server.get(server.client_context())[0] == 200


def test_idle_clients_above_the_limit_delay_no_client(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server, idle_clients(server, MAX_CONNECTIONS + 30):
        for _ in range(3):
            assert server.get(server.client_context())[0] == 200
        assert server.access.refused["crowded"] >= 30


def test_low_descriptor_limit_delays_no_client(tmp_path: Path) -> None:
    """The process may open 60 files, of which half are in use otherwise."""
    page = Page(free_port())
    command = ["prlimit", "--nofile=60:60", sys.executable, "-m", "libvirt_lifecycle_exporter"]
    flags = ["--libvirt.uri", "test:///default", "--journal.path", str(tmp_path / "journal.sqlite")]
    with (
        ExitStack() as idle,
        subprocess.Popen([*command, *flags, "--web.listen-address", f"127.0.0.1:{page.port}"]) as process,
    ):
        try:
            page.wait_until(lambda: page.status("/-/ready") == 200)
            for _ in range(100):
                idle.enter_context(socket.create_connection(("127.0.0.1", page.port), 20))
            assert page.status("/metrics") == 200
            assert (page.value("libvirt_lifecycle_exporter_web_refused_total", cause="crowded") or 0) >= 80
        finally:
            process.terminate()


def send_request(client: socket.socket) -> bytes:
    """Send a request on an open connection; return the response."""
    client.sendall(REQUEST)
    response = b""
    while not response.endswith(b"hello\n") and (part := client.recv(4096)):
        response += part
    return response


def test_served_client_is_kept_before_idle_clients(folder: Path) -> None:
    with running_server(folder, "") as server, idle_clients(server, 1) as (client,):
        assert send_request(client).startswith(b"HTTP/1.1 200")
        with idle_clients(server, MAX_CONNECTIONS + 30):
            until(lambda: server.access.refused["crowded"] >= 30, 20, "evictions")
            assert send_request(client).startswith(b"HTTP/1.1 200")


def test_closed_connections_free_their_slots(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server:
        for _ in range(5):
            with idle_clients(server, MAX_CONNECTIONS // 4):
                pass
            assert server.get(server.client_context())[0] == 200
        assert server.access.refused["crowded"] == 0


class AcceptorDriver:
    """An acceptor whose clock the test sets."""

    def __init__(self, listening: socket.socket, application: ASGIApplication) -> None:
        config = uvicorn.Config(
            application,
            http=ClientConnection,
            ws="none",
            log_config=None,
            lifespan="off",
            timeout_keep_alive=60,
        )
        config.load()
        self.now = 0.0
        self.port = listening.getsockname()[1]
        self.access = AccessControl()
        self.acceptor = Acceptor(
            config,
            uvicorn.Server(config).server_state,
            self.access,
            stage_timeouts={Stage.NEW: 10, Stage.IDLE: 90, Stage.ACTIVE: 60},
            clock=lambda: self.now,
        )
        self.acceptor.open([listening])


async def run_until(condition: Callable[[], bool]) -> None:
    """Run the event loop until the condition is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what happens in the loop itself
            await asyncio.sleep(0)


def is_closed(sent: bytes, seconds: float, body: bytes = b"x") -> bool:
    """Whether a client that has sent this is closed after so many seconds without progress."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def run() -> bool:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            driver = AcceptorDriver(listening, page)
            reader, writer = await asyncio.open_connection("127.0.0.1", driver.port)
            writer.write(sent)
            await run_until(lambda: bool(len(driver.acceptor)))
            if sent.startswith(REQUEST):
                await reader.readuntil(b"\r\n\r\n")
            driver.acceptor.close_expired()
            assert not driver.access.refused["slow"]
            driver.now += seconds
            driver.acceptor.close_expired()
            closed = bool(driver.access.refused["slow"])
            if closed:
                await run_until(lambda: not len(driver.acceptor))
            writer.transport.abort()
            driver.acceptor.close()
            return closed

    return asyncio.run(run())


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost:"])
def test_client_without_request_is_closed_after_10_seconds(sent: bytes) -> None:
    assert not is_closed(sent, 9)
    assert is_closed(sent, 11)


@pytest.mark.parametrize("more", [b"", b"GET / HT"])
def test_served_client_is_closed_after_90_seconds(more: bytes) -> None:
    assert not is_closed(REQUEST + more, 89)
    assert is_closed(REQUEST + more, 91)


def test_client_that_does_not_read_is_closed_after_60_seconds() -> None:
    assert not is_closed(REQUEST, 59, body=b"x" * 50_000_000)
    assert is_closed(REQUEST, 61, body=b"x" * 50_000_000)
