"""Clients cannot make the exporter use much memory, with or without TLS, during or after the load."""

import asyncio
import gc
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from libvirt_lifecycle_exporter.web.acceptor import Acceptor
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.exporter import Exporter
from tests.otel.certificates import certificates
from tests.web.client_loads import LOADS, clients_of
from tests.web.running_server import TLS, bcrypt_hash

MAX_GROWTH = 40
"""MiB above the memory before the load."""
ROUNDS = 2
CLIENTS = 300
"""In each round, all at once; the connection limit is 128."""


class ProcessMemory:
    """Resident memory of a process, in MiB above its value when this object was created."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._start = self._read("VmRSS")
        # Resets the peak.
        (self._proc / "clear_refs").write_text("5")

    def _read(self, field: str) -> float:
        match = re.search(rf"^{field}:\s+(\d+) kB$", (self._proc / "status").read_text(), re.MULTILINE)
        assert match
        return int(match[1]) / 1024

    def now(self) -> float:
        return self._read("VmRSS") - self._start

    def peak(self) -> float:
        return self._read("VmHWM") - self._start


def exporter_with_users(folder: Path, *, tls: bool) -> Exporter:
    text = f"basic_auth_users: {{prometheus: {bcrypt_hash('right')}}}\n"
    if tls:
        certificates(folder)
        text += TLS + "}\n"
    (folder / "web.yml").write_text(text)
    return Exporter(folder, ["test:///default"], extra_args=["--web.config.file", str(folder / "web.yml")])


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_load_does_not_exhaust_memory(tmp_path: Path, load: str, tls: bool) -> None:  # noqa: FBT001 - a table
    exporter = exporter_with_users(tmp_path, tls=tls)
    exporter.start()
    try:
        with clients_of(exporter.port, tls=tls) as first:
            exporter.wait_until(lambda: first.scrape() == 200)
        memory = ProcessMemory(exporter.pid)
        for _ in range(ROUNDS):
            with clients_of(exporter.port, tls=tls) as clients:
                LOADS[load](clients, CLIENTS)
                assert clients.scrape() == 200
        assert memory.peak() <= MAX_GROWTH
        assert memory.now() <= MAX_GROWTH
    finally:
        exporter.stop()


def open_acceptor(listening: socket.socket, access: AccessControl, body: bytes) -> Acceptor:
    """Acceptor of which every page is ``body``."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(page, http=ClientConnection, ws="none", log_config=None, lifespan="off")
    config.load()
    acceptor = Acceptor(config, uvicorn.Server(config).server_state, access, max_unsent_bytes=4_000_000)
    acceptor.open([listening])
    return acceptor


async def run_until(condition: Callable[[], bool]) -> None:
    """Run the event loop until the condition is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what happens in the loop itself
            await asyncio.sleep(0)


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closed_connection_leaves_no_reference_cycle(folder: Path, tls: bool) -> None:  # noqa: FBT001 - a table
    """The memory of a connection is freed when it is closed, without the garbage collector."""
    (folder / "web.yml").write_text(TLS + "}" if tls else "")
    access = AccessControl(str(folder / "web.yml"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def connect(port: int, sent: bytes, *, handshake: bool) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context if tls and handshake else None
        )
        writer.write(sent)
        if sent == REQUEST:
            await reader.readuntil(b"hello")
        writer.transport.abort()

    async def run() -> list[object]:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            acceptor = open_acceptor(listening, access, b"hello")
            port = listening.getsockname()[1]
            for sent, handshake in (
                (b"", False),
                (b"no TLS\r\n\r\n", False),
                (b"GET", True),
                (REQUEST, True),
            ):
                await connect(port, sent, handshake=handshake)
            await run_until(lambda: not len(acceptor))
            await asyncio.sleep(0)
            remaining = [item for item in gc.get_objects() if is_of_connection(item)]
            acceptor.close()
            return remaining

    def is_of_connection(item: object) -> bool:
        return isinstance(item, ClientConnection) or (
            isinstance(item, ssl.SSLObject) and item.server_side and item.context is access.active.tls_context
        )

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(run()) == []
    finally:
        gc.enable()


def test_slow_readers_are_bounded_by_bytes(folder: Path) -> None:
    """Four clients do not read most of 20 MB: all are closed but the one with the newest request."""
    (folder / "web.yml").write_text("")
    access = AccessControl(str(folder / "web.yml"))
    body = b"x" * 20_000_000

    async def run() -> bytes:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            acceptor = open_acceptor(listening, access, body)
            port, writers = listening.getsockname()[1], []
            for _ in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(REQUEST)
                await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
            await run_until(lambda: access.refused["slow"] == 3)
            response = await reader.readexactly(len(body))
            for writer in writers:
                writer.transport.abort()
            acceptor.close()
            return response

    assert len(asyncio.run(run())) == len(body)
    assert access.refused["slow"] == 3
