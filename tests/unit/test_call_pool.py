"""``CallPool``: time limits, connection limits and recovery, with calls that hang on demand."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from tests.lab.waiting import until

MAX_CONNECTIONS = 3
TIMEOUT = 0.1
SOON = 10.0


class FakeConnection:
    """A connection to a ``FakeDaemon``."""

    def __init__(self, daemon: "FakeDaemon") -> None:
        self.daemon = daemon
        self.is_alive = True

    def setKeepAlive(self, *_arguments: int) -> None:  # noqa: N802 - libvirt's name
        raise libvirt.libvirtError("keepalive not supported")

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        return self.is_alive

    def close(self) -> int:
        with self.daemon.lock:
            self.daemon.connections.remove(self)
        return 0


class FakeDaemon:
    """A libvirt daemon; some of its calls hang until ``release`` is set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connections: list[FakeConnection] = []
        self.max_open = 0
        self.release = threading.Event()
        self.is_down = False

    def open(self) -> FakeConnection:
        if self.is_down:
            raise libvirt.libvirtError("connection refused")
        connection = FakeConnection(self)
        with self.lock:
            self.connections.append(connection)
            self.max_open = max(self.max_open, len(self.connections))
        return connection

    def succeed(self, _connection: Any) -> str:
        return "ok"

    def hang(self, _connection: Any) -> str:
        self.release.wait()
        return "late"

    def lose_connection(self, connection: Any) -> str:
        connection.is_alive = False
        raise libvirt.libvirtError("connection lost")


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    daemon = FakeDaemon()
    yield daemon
    daemon.release.set()


@pytest.fixture
def pool(daemon: FakeDaemon) -> Iterator[CallPool]:
    pool = CallPool("test", daemon.open, max_connections=MAX_CONNECTIONS)
    yield pool
    daemon.release.set()
    pool.stop()


def run(
    pool: CallPool, calls: Mapping[str, Callable[[Any], str]], may_replace: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    return dict(pool.run(calls, concurrency=2, timeout=TIMEOUT, may_replace=may_replace))


def test_many_calls_share_few_connections(pool: CallPool, daemon: FakeDaemon) -> None:
    results = run(pool, {str(n): daemon.succeed for n in range(100)})
    assert results == {str(n): "ok" for n in range(100)}
    assert daemon.max_open <= 2


def test_hanging_call_is_abandoned_and_others_succeed(pool: CallPool, daemon: FakeDaemon) -> None:
    calls = {"stuck": daemon.hang} | {str(n): daemon.succeed for n in range(10)}
    assert run(pool, calls) == {str(n): "ok" for n in range(10)}
    assert pool.hanging() == {"stuck"}
    assert run(pool, {"stuck": daemon.succeed}) == {}, "no second call for a key that hangs"
    daemon.release.set()
    until(lambda: not pool.hanging(), SOON, "the call to return")
    assert run(pool, {"stuck": daemon.succeed}) == {"stuck": "ok"}


def test_hanging_calls_are_limited_by_max_connections(pool: CallPool, daemon: FakeDaemon) -> None:
    assert run(pool, {str(n): daemon.hang for n in range(10)}) == {}
    assert len(pool.hanging()) == MAX_CONNECTIONS
    assert daemon.max_open == MAX_CONNECTIONS
    assert run(pool, {"another": daemon.succeed}) == {}
    daemon.release.set()
    until(lambda: not pool.hanging(), SOON, "all calls to return")
    assert run(pool, {"another": daemon.succeed}) == {"another": "ok"}
    until(lambda: len(daemon.connections) <= 2, SOON, "the connections to be closed")


def test_no_replacement_is_started_if_it_is_refused(pool: CallPool, daemon: FakeDaemon) -> None:
    calls = {str(n): daemon.hang for n in range(10)}
    assert run(pool, calls, may_replace=lambda: False) == {}
    assert len(pool.hanging()) <= 2


def test_libvirt_error_is_returned_as_result(pool: CallPool, daemon: FakeDaemon) -> None:
    def fail(_connection: Any) -> str:
        raise libvirt.libvirtError("no such domain")

    found = run(pool, {"gone": fail, "web": daemon.succeed})
    assert isinstance(found["gone"], libvirt.libvirtError)
    assert found["web"] == "ok"


def test_unexpected_exception_affects_only_its_call(pool: CallPool, daemon: FakeDaemon) -> None:
    def fail(_connection: Any) -> str:
        raise KeyError("unexpected")

    assert run(pool, {"bad": fail, "web": daemon.succeed}) == {"web": "ok"}


def test_lost_connection_is_replaced(pool: CallPool, daemon: FakeDaemon) -> None:
    run(pool, {"web": daemon.lose_connection})
    assert run(pool, {"web": daemon.succeed}) == {"web": "ok"}
    for connection in daemon.connections:
        connection.is_alive = False
    assert run(pool, {"web": daemon.succeed}) == {"web": "ok"}, "no call fails on a lost connection"


def test_unreachable_daemon_ends_the_batch_early(pool: CallPool, daemon: FakeDaemon) -> None:
    daemon.is_down = True
    assert len(run(pool, {str(n): daemon.succeed for n in range(1000)})) <= 2
    daemon.is_down = False
    assert run(pool, {"web": daemon.succeed}) == {"web": "ok"}


def test_stop_does_not_wait_for_hanging_calls(pool: CallPool, daemon: FakeDaemon) -> None:
    run(pool, {"stuck": daemon.hang, "web": daemon.succeed})
    pool.stop()
    assert run(pool, {"web": daemon.succeed}) == {}
    daemon.release.set()
    until(lambda: not daemon.connections, SOON, "all connections to be closed")
