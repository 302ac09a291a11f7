"""Basic authentication, response headers and the rate limit."""

import asyncio
import base64
import threading
import time
from pathlib import Path
from urllib.parse import quote

import bcrypt
import pytest

from libvirt_lifecycle_exporter.web.config import RateLimit
from libvirt_lifecycle_exporter.web.credentials import (
    CheckResult,
    Credentials,
    bcrypt_cost,
    client_network,
    dummy_hash,
    dummy_hash_for,
)
from libvirt_lifecycle_exporter.web.middleware import TokenBucket
from tests.web.running_server import RunningServer, basic_auth, bcrypt_hash, running_server


def users(**passwords: str) -> str:
    """Return the basic_auth_users section."""
    return "basic_auth_users:\n" + "".join(
        f"  {user}: {bcrypt_hash(password)}\n" for user, password in passwords.items()
    )


def status(server: RunningServer, headers: dict[str, str] | None = None, path: str = "/") -> int:
    return server.get(headers=headers, path=path)[0]


def test_valid_credentials_are_accepted(tmp_path: Path) -> None:
    with running_server(tmp_path, users(alice="wonder:land", böb="ünder")) as server:
        for _ in range(2):
            assert status(server, basic_auth("alice", "wonder:land")) == 200
            assert status(server, basic_auth("böb", "ünder")) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic_auth("alice", "wrong"),
        basic_auth("alice", ""),
        basic_auth("nobody", "wonderland"),
        basic_auth("", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"alice").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:x").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"alice:won\0derland").decode()},
        {"Authorization": "Bearer " + base64.b64encode(b"alice:wonderland").decode()},
    ],
)
def test_invalid_credentials_are_refused_on_every_path(tmp_path: Path, headers: dict[str, str]) -> None:
    with running_server(tmp_path, users(alice="wonderland")) as server:
        for path in ("/", "/metrics", "/none", "/" + quote("%2e%2e")):
            code, response_headers = server.get(headers=headers, path=path)
            assert code == 401
            assert response_headers["www-authenticate"].startswith("Basic ")
        assert server.access.refused["credentials"] == 4
        assert status(server, basic_auth("alice", "wonderland")) == 200


def test_only_72_bytes_of_a_password_are_used(tmp_path: Path) -> None:
    long = "x" * 72
    with running_server(tmp_path, users(alice=long)) as server:
        assert status(server, basic_auth("alice", long + "y")) == 200
        assert status(server, basic_auth("alice", long[:-1])) == 401


def test_removed_user_is_refused_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path, users(alice="a", bob="b")) as server:
        assert status(server, basic_auth("alice", "a")) == status(server, basic_auth("bob", "b")) == 200
        server.reload_config(users(bob="other"))
        assert status(server, basic_auth("alice", "a")) == status(server, basic_auth("bob", "b")) == 401
        assert status(server, basic_auth("bob", "other")) == 200


def test_every_response_has_the_configured_headers(tmp_path: Path) -> None:
    text = users(alice="a") + "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    with running_server(tmp_path, text) as server:
        for headers, path in (
            ({}, "/"),
            (basic_auth("alice", "a"), "/"),
            (basic_auth("alice", "a"), "/none"),
        ):
            assert server.get(headers=headers, path=path)[1]["x-frame-options"] == "deny"


def test_rate_limit_refuses_requests_above_the_burst(tmp_path: Path) -> None:
    with running_server(tmp_path, "rate_limit: {interval: 1h, burst: 3}") as server:
        assert [status(server) for _ in range(5)] == [200, 200, 200, 429, 429]
        server.reload_config("rate_limit: {interval: 1h, burst: 1}")
        assert [status(server) for _ in range(2)] == [200, 429]
        assert server.access.refused["rate"] == 3


def test_token_bucket_refills_with_time() -> None:
    now = 0.0
    bucket, limit = TokenBucket(lambda: now), RateLimit(interval=2, burst=2)
    assert [bucket.take(limit) for _ in range(3)] == [True, True, False]
    now += 2
    assert [bucket.take(limit) for _ in range(2)] == [True, False]
    now += 1000
    assert [bucket.take(limit) for _ in range(3)] == [True, True, False]
    assert bucket.take(RateLimit())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_client_network_groups_addresses(address: str, network: str) -> None:
    assert client_network(address) == network


def test_dummy_hash_has_the_cost_and_matches_no_password() -> None:
    assert dummy_hash(7).startswith("$2b$07$")
    assert not bcrypt.checkpw(b"", dummy_hash(4).encode())
    assert len(dummy_hash(12)) == len(bcrypt_hash("x"))


def test_unknown_user_costs_as_much_as_a_known_one() -> None:
    """Measured in CPU time, which other processes do not affect; a hash of the lowest cost takes a 64th."""
    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()}

    async def run() -> list[float]:
        credentials, cpu_seconds = Credentials(), []
        for user in ("alice", "nobody", "alice", "nobody"):
            before = time.process_time()
            assert await credentials.check(users, user, b"wrong", "192.0.2.1") is CheckResult.INVALID
            cpu_seconds.append(time.process_time() - before)
        credentials.close()
        return cpu_seconds

    cpu_seconds = asyncio.run(run())
    assert min(cpu_seconds) > max(cpu_seconds) / 8


def test_password_guessing_delays_no_other_address() -> None:
    """One address fills its queue; a check of another address runs after one of its checks, not after all."""
    alice = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()}

    async def run() -> list[str]:
        credentials, order = Credentials(), []

        async def check(address: str, password: bytes) -> CheckResult:
            result = await credentials.check(alice, "alice", password, address)
            order.append(f"{address} {result.value}")
            return result

        guesses = [asyncio.create_task(check("bad", b"guess %d" % number)) for number in range(40)]
        await asyncio.sleep(0)
        assert await check("good", b"right") is CheckResult.VALID
        await asyncio.gather(*guesses)
        credentials.close()
        return order

    order = asyncio.run(run())
    assert order.count("bad throttled") == 40 - 16
    assert order.index("good valid") <= order.index("bad invalid") + 3
    assert order.count("bad invalid") == 16


def test_cancelled_checks_leave_no_state_to_the_next_event_loop() -> None:
    """The web server's thread starts a new event loop after an error."""
    alice = {"alice": bcrypt_hash("right")}
    credentials = Credentials()

    async def start_checks() -> list[asyncio.Task[CheckResult]]:
        guesses = [b"guess %d" % number for number in range(16)]
        checks = [credentials.check(alice, "alice", guess, "192.0.2.1") for guess in guesses]
        tasks = [asyncio.create_task(check) for check in checks]
        await asyncio.sleep(0)
        return tasks

    async def check_all() -> list[CheckResult]:
        checks = [credentials.check(alice, "alice", b"right", "192.0.2.1") for _ in range(16)]
        return await asyncio.gather(*checks)

    assert all(task.cancelled() for task in asyncio.run(start_checks()))
    assert asyncio.run(check_all()) == [CheckResult.VALID] * 16
    credentials.close()


def test_high_cost_check_delays_no_other_user() -> None:
    """A check of Bob's password takes 500 times as long as one of Alice's, which starts later."""
    users = {"alice": bcrypt_hash("right"), "bob": dummy_hash(13)}

    async def run() -> list[str]:
        credentials, order = Credentials(), []

        async def check(user: str, password: bytes) -> None:
            result = await credentials.check(users, user, password, "192.0.2.1")
            order.append(f"{user} {result.value}")

        slow = asyncio.create_task(check("bob", b"guess"))
        await asyncio.sleep(0)
        await check("alice", b"right")
        await check("alice", b"wrong")
        await slow
        credentials.close()
        return order

    assert asyncio.run(run()) == ["alice valid", "alice invalid", "bob invalid"]


@pytest.mark.parametrize(("costs", "expected"), [((4,), 4), ((4, 12), 12), ((12, 16), 16), ((10, 18), 16)])
def test_cost_of_unknown_user_is_bounded(costs: tuple[int, ...], expected: int) -> None:
    """A check of cost 18 takes half a minute of one core, and anybody can invent a user name."""
    users = {f"user{cost}": dummy_hash(cost) for cost in costs}
    assert bcrypt_cost(dummy_hash_for(users)) == expected


def test_slow_check_delays_no_known_user(tmp_path: Path) -> None:
    slow = bcrypt.hashpw(b"b", bcrypt.gensalt(12)).decode()
    with running_server(tmp_path, users(alice="a") + f"  bob: {slow}\n") as server:
        assert status(server, basic_auth("alice", "a")) == 200
        codes: list[int] = []
        guessing = [
            threading.Thread(target=lambda: codes.append(status(server, basic_auth("bob", "guess"))))
            for _ in range(4)
        ]
        for thread in guessing:
            thread.start()
        responses = 0
        while len(codes) < len(guessing):
            assert status(server, basic_auth("alice", "a")) == 200
            responses += 1
        for thread in guessing:
            thread.join()
        assert responses > len(guessing)
        assert set(codes) == {401}
