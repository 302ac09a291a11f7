"""Whoever says nothing, or says it slowly, blocks nobody."""

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

from libvirt_lifecycle_exporter.web.acceptor import MOST, Acceptor
from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.client_connection import ClientConnection, Stage
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.exporter import free_port
from tests.lab.page import Page
from tests.lab.waiting import until
from tests.web.serving import TLS, Served, serving

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def clients(served: Served, number: int) -> Iterator[list[socket.socket]]:
    made = [socket.create_connection(("127.0.0.1", served.port), 20) for _ in range(number)]
    try:
        yield made
    finally:
        for one in made:
            one.close()


def test_a_client_that_opens_tls_and_says_nothing_blocks_nobody(folder: Path) -> None:
    with serving(folder, TLS + "}") as served, clients(served, 30) as silent:
        for number, client in enumerate(silent[::2]):
            client.sendall(b"\x16\x03\x01\x02\x00\x01\x00"[: 1 + number % 7])
        assert served.ask(served.client())[0] == 200


def test_more_silent_clients_than_there_are_places_block_nobody(folder: Path) -> None:
    with serving(folder, TLS + "}") as served, clients(served, MOST + 30):
        for _ in range(3):
            assert served.ask(served.client())[0] == 200
        assert served.entrance.refused["crowded"] >= 30


def test_few_files_are_no_reason_to_keep_anybody_waiting(tmp_path: Path) -> None:
    """A process that may open 60 files, of which the others need half."""
    page = Page(free_port())
    few = ["prlimit", "--nofile=60:60", sys.executable, "-m", "libvirt_lifecycle_exporter"]
    flags = ["--libvirt.uri", "test:///default", "--journal.path", str(tmp_path / "journal.sqlite")]
    with (
        ExitStack() as silent,
        subprocess.Popen([*few, *flags, "--web.listen-address", f"127.0.0.1:{page.port}"]) as process,
    ):
        try:
            page.wait_until(lambda: page.status("/-/ready") == 200)
            for _ in range(100):
                silent.enter_context(socket.create_connection(("127.0.0.1", page.port), 20))
            assert page.status("/metrics") == 200
            assert (page.value("libvirt_lifecycle_exporter_web_refused_total", cause="crowded") or 0) >= 80
        finally:
            process.terminate()


def told(client: socket.socket) -> bytes:
    client.sendall(ASKED)
    got = b""
    while not got.endswith(b"here\n") and (more := client.recv(4096)):
        got += more
    return got


def test_a_client_that_is_served_keeps_its_place_before_silent_ones(folder: Path) -> None:
    with serving(folder, "") as served, clients(served, 1) as (known,):
        assert told(known).startswith(b"HTTP/1.1 200")
        with clients(served, MOST + 30):
            until(lambda: served.entrance.refused["crowded"] >= 30, 20, "others to leave")
            assert told(known).startswith(b"HTTP/1.1 200")


def test_all_places_are_given_back(folder: Path) -> None:
    with serving(folder, TLS + "}") as served:
        for _ in range(5):
            with clients(served, MOST // 4):
                pass
            assert served.ask(served.client())[0] == 200
        assert served.entrance.refused["crowded"] == 0


class Hurry:
    """Acceptor that tell the time that they are told."""

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
        self.entrance = AccessControl()
        self.doors = Acceptor(
            config,
            uvicorn.Server(config).server_state,
            self.entrance,
            patience={Stage.FRESH: 10, Stage.IDLE: 90, Stage.BUSY: 60},
            clock=lambda: self.now,
        )
        self.doors.open([listening])


async def seen(told: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(20):
        while not told():  # noqa: ASYNC110 - what happens in the loop itself
            await asyncio.sleep(0)


def has_to_leave(said: bytes, seconds: float, body: bytes = b"x") -> bool:
    """Whether a client that has said this is shown out once it has waited for so long."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def play() -> bool:
        (listening,) = bind("127.0.0.1", 0)
        with listening:
            hurry = Hurry(listening, page)
            reader, writer = await asyncio.open_connection("127.0.0.1", hurry.port)
            writer.write(said)
            await seen(lambda: bool(len(hurry.doors)))
            if said.startswith(ASKED):
                await reader.readuntil(b"\r\n\r\n")
            hurry.doors.tidy()
            assert not hurry.entrance.refused["slow"]
            hurry.now += seconds
            hurry.doors.tidy()
            left = bool(hurry.entrance.refused["slow"])
            if left:
                await seen(lambda: not len(hurry.doors))
            writer.transport.abort()
            hurry.doors.close()
            return left

    return asyncio.run(play())


@pytest.mark.parametrize("said", [b"", b"GET", b"GET / HTTP/1.1\r\nHost:"])
def test_who_never_asks_has_to_leave(said: bytes) -> None:
    assert not has_to_leave(said, 9)
    assert has_to_leave(said, 11)


@pytest.mark.parametrize("more", [b"", b"GET / HT"])
def test_who_was_served_may_rest_for_longer(more: bytes) -> None:
    assert not has_to_leave(ASKED + more, 89)
    assert has_to_leave(ASKED + more, 91)


def test_who_does_not_take_the_answer_has_to_leave() -> None:
    assert not has_to_leave(ASKED, 59, body=b"x" * 50_000_000)
    assert has_to_leave(ASKED, 61, body=b"x" * 50_000_000)
