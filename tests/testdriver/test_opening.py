"""Attempts to connect that are never answered, on real sockets and real daemons."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.connection import Connection, ConnectionSettings
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import Opener, OpenLimits, without_prompt
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from tests.lab.daemon import Daemon, short_root
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until

QUICK = OpenLimits(warn_after=0.1, timeout=0.3, max_abandoned=2)
SOON = 30.0


def sockets() -> int:
    """The sockets that this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


@pytest.fixture(params=["unix", "tcp"])
def silent(request: pytest.FixtureRequest, open_folder: Path) -> Iterator[tuple[str, socket.socket]]:
    """URI and listener of a server that accepts and never answers."""
    if request.param == "unix":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(open_folder / "silent"))
            listener.listen()
            yield f"qemu+unix:///session?socket={open_folder}/silent", listener
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield f"qemu+tcp://127.0.0.1:{listener.getsockname()[1]}/system", listener


def accept_and_close(listener: socket.socket, count: int) -> None:
    """Close the connections that wait at a listener, so that the attempts on them return."""
    listener.settimeout(SOON)
    for _ in range(count):
        listener.accept()[0].close()


def unanswered(opener: Opener, match: str) -> None:
    with pytest.raises(TimeoutError, match=match):
        opener.open_read_only()


def test_unanswered_attempts_are_abandoned_and_bounded(silent: tuple[str, socket.socket]) -> None:
    uri, listener = silent
    opener = Opener(uri, QUICK)
    for _ in range(QUICK.max_abandoned):
        unanswered(opener, "no answer to the connection attempt within 0.3 s")
    unanswered(opener, "2 connection attempts are still unanswered")
    assert opener.abandoned() == QUICK.max_abandoned
    accept_and_close(listener, QUICK.max_abandoned)
    until(lambda: opener.abandoned() == 0, SOON, "the abandoned attempts to return")
    unanswered(opener, "no answer to the connection attempt within 0.3 s")
    accept_and_close(listener, 1)
    until(lambda: opener.abandoned() == 0, SOON, "the last attempt to return")


def test_abandoned_tcp_attempt_gets_kernel_keepalive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        opener = Opener(f"qemu+tcp://127.0.0.1:{port}/system", QUICK)
        unanswered(opener, "no answer")
        ours = [client for client in tcp_clients() if client[0] == port]
        accept_and_close(listener, 1)
        until(lambda: opener.abandoned() == 0, SOON, "the attempt to return")
    assert ours == [(port, True)]


def tcp_clients() -> list[tuple[int, bool]]:
    """The peer's port of each TCP socket of this process, and whether keepalive is on."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), duplicate_socket(int(entry.name)) as one:
            if one.family == socket.AF_INET:
                keepalive = one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                found.append((one.getpeername()[1], bool(keepalive)))
    return found


def duplicate_socket(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise


def test_frozen_daemon_is_retried_and_late_success_closed(own_daemon: Daemon) -> None:
    opener = Opener(own_daemon.uri, QUICK)
    before = sockets()
    own_daemon.freeze()
    try:
        for _ in range(QUICK.max_abandoned):
            unanswered(opener, "no answer")
        assert sockets() >= before + QUICK.max_abandoned
    finally:
        own_daemon.thaw()
    until(lambda: opener.abandoned() == 0, SOON, "the abandoned attempts to return")
    until(lambda: sockets() == before, SOON, "the late connections to be closed")
    opener.open_read_only().close()


def test_daemon_with_max_clients_is_retried(programs: Programs) -> None:
    with short_root() as root:
        daemon = SessionDaemon(root / "full", programs)
        conf = root / "full/config/libvirt" / f"{programs.daemon}.conf"
        conf.write_text(f"{conf.read_text()}max_clients = 2\nmax_anonymous_clients = 2\n")
        with daemon:
            opener = Opener(daemon.uri, QUICK)
            taken = [until(lambda: opened(opener), SOON, "a place") for _ in range(2)]
            unanswered(opener, "no answer")
            for connection in taken:
                connection.close()
            until(lambda: opener.abandoned() == 0, SOON, "the abandoned attempt to return")
            until(lambda: opened(opener), SOON, "a place").close()


def opened(opener: Opener) -> Any:
    try:
        return opener.open_read_only()
    except TimeoutError:
        return None


def test_slow_connect_is_logged_and_shown_as_down(
    own_daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    message_queue = MessageQueue(1000)
    limits = OpenLimits(warn_after=0.1, timeout=0.5, max_abandoned=2)
    connection = Connection("frozen", own_daemon.uri, message_queue, ConnectionSettings(opening=limits))
    causes: list[str] = []

    def arrived(kind: type, words: str) -> bool:
        messages = message_queue.take(100, 0.1)
        causes.extend(message.cause for message in messages if isinstance(message, ConnectionDown))
        return any(isinstance(one, kind) for one in messages) or any(words in cause for cause in causes)

    own_daemon.freeze()
    try:
        connection.start()
        until(lambda: arrived(type(None), "still unanswered"), SOON, "the bound to be reached")
    finally:
        own_daemon.thaw()
    until(lambda: arrived(ConnectionUp, "-"), SOON, "the connection to be up")
    connection.stop()
    assert connection.join(SOON)
    assert causes[:2] == [
        "connecting takes longer than 0.1 s",
        "no answer to the connection attempt within 0.5 s",
    ]
    logged = [(record.getMessage(), getattr(record, "error", "")) for record in caplog.records]
    assert ("connection down", "connecting takes longer than 0.1 s") in logged


def test_stopping_does_not_wait_for_an_attempt(silent: tuple[str, socket.socket]) -> None:
    uri, listener = silent
    connection = Connection("silent", uri, MessageQueue(100), ConnectionSettings())
    connection.start()
    listener.settimeout(SOON)
    with listener.accept()[0]:
        connection.stop()
        assert connection.join(SOON)


def test_error_of_libvirt_reaches_the_caller(open_folder: Path) -> None:
    opener = Opener(f"qemu+unix:///session?socket={open_folder}/absent", QUICK)
    with pytest.raises(libvirt.libvirtError, match="Failed to connect socket"):
        opener.open_read_only()


@pytest.mark.parametrize(
    ("uri", "opened_as"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+tls://host/system", "qemu+tls://host/system"),
        ("qemu+ssh://host/system", "qemu+ssh://host/system?no_tty=1"),
        ("qemu+ssh://u@host/system?keyfile=/a%20b", "qemu+ssh://u@host/system?keyfile=/a%20b&no_tty=1"),
        ("qemu+ssh://host/system?no_tty=0", "qemu+ssh://host/system?no_tty=0"),
        ("qemu+libssh2://host/system", "qemu+libssh2://host/system"),
    ],
)
def test_ssh_is_opened_in_batch_mode_unless_set(uri: str, opened_as: str) -> None:
    assert without_prompt(uri) == opened_as


@pytest.fixture
def closing(open_folder: Path) -> Iterator[str]:
    """URI of a server that accepts and closes at once."""
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(open_folder / "closing"))
        listener.listen()
        listener.settimeout(0.1)

        def serve() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"qemu+unix:///session?socket={open_folder}/closing"
        over.set()
        thread.join()


def test_server_that_closes_at_once_costs_no_descriptors(closing: str) -> None:
    opener = Opener(closing)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(200):
        with pytest.raises((libvirt.libvirtError, ConnectionError)):
            opener.open_read_only()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 5
