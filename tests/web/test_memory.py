"""Clients cannot make the exporter use much memory, with TLS or without, while connected or afterwards."""

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
from tests.web.memory_load import LOADS, clients_of
from tests.web.serving import TLS, hashed

ALLOWED = 40
"""MiB above the start."""
ROUNDS = 2
CLIENTS = 300
"""In each round, all at once; there are 128 places."""


class ProcessMemory:
    """Resident memory of a process, in MiB above what it was when this was made."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._start = self._read("VmRSS")
        # Resets the peak.
        (self._proc / "clear_refs").write_text("5")

    def _read(self, field: str) -> float:
        found = re.search(rf"^{field}:\s+(\d+) kB$", (self._proc / "status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) / 1024

    def now(self) -> float:
        return self._read("VmRSS") - self._start

    def peak(self) -> float:
        return self._read("VmHWM") - self._start


def exporter_with_users(folder: Path, *, tls: bool) -> Exporter:
    text = f"basic_auth_users: {{prometheus: {hashed('right')}}}\n"
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
        assert memory.peak() <= ALLOWED
        assert memory.now() <= ALLOWED
    finally:
        exporter.stop()


def open_doors(listening: socket.socket, entrance: AccessControl, body: bytes) -> Acceptor:
    """Acceptor of which every page is ``body``."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(page, http=ClientConnection, ws="none", log_config=None, lifespan="off")
    config.load()
    doors = Acceptor(config, uvicorn.Server(config).server_state, entrance, most_unsent=4_000_000)
    doors.open([listening])
    return doors


async def until_true(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition is true."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what happens in the loop itself
            await asyncio.sleep(0)


ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closed_connection_leaves_no_reference_cycle(folder: Path, tls: bool) -> None:  # noqa: FBT001 - a table
    """The memory of a connection is free when it is closed, not when garbage is collected."""
    (folder / "web.yml").write_text(TLS + "}" if tls else "")
    entrance = AccessControl(str(folder / "web.yml"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def connect(port: int, said: bytes, *, handshake: bool) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context if tls and handshake else None
        )
        writer.write(said)
        if said == ASK:
            await reader.readuntil(b"here")
        writer.transport.abort()

    async def play() -> list[object]:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            doors = open_doors(listening, entrance, b"here")
            port = listening.getsockname()[1]
            for said, handshake in ((b"", False), (b"no TLS\r\n\r\n", False), (b"GET", True), (ASK, True)):
                await connect(port, said, handshake=handshake)
            await until_true(lambda: not len(doors))
            await asyncio.sleep(0)
            found = [one for one in gc.get_objects() if is_left(one)]
            doors.close()
            return found

    def is_left(one: object) -> bool:
        return isinstance(one, ClientConnection) or (
            isinstance(one, ssl.SSLObject) and one.server_side and one.context is entrance.rules.context
        )

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(play()) == []
    finally:
        gc.enable()


def test_slow_readers_are_bounded_by_bytes(folder: Path) -> None:
    """Four clients leave most of 20 MB unread: all are closed but the one that asked last."""
    (folder / "web.yml").write_text("")
    entrance = AccessControl(str(folder / "web.yml"))
    body = b"x" * 20_000_000

    async def play() -> bytes:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            doors = open_doors(listening, entrance, body)
            port, writers = listening.getsockname()[1], []
            for _ in range(4):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(ASK)
                await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
            await until_true(lambda: entrance.refused["slow"] == 3)
            answered = await reader.readexactly(len(body))
            for writer in writers:
                writer.transport.abort()
            doors.close()
            return answered

    assert len(asyncio.run(play())) == len(body)
    assert entrance.refused["slow"] == 3
