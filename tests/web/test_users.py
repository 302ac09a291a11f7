"""Users and their passwords; headers; the rate limit."""

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
    Credentials,
    Verdict,
    cost_of,
    hash_of_nobody,
    neighbour,
    nobody,
)
from libvirt_lifecycle_exporter.web.middleware import Bucket
from tests.web.serving import Served, basic, hashed, serving


def users(**passwords: str) -> str:
    return "basic_auth_users:\n" + "".join(f"  {user}: {hashed(word)}\n" for user, word in passwords.items())


def status(served: Served, headers: dict[str, str] | None = None, path: str = "/") -> int:
    return served.ask(headers=headers, path=path)[0]


def test_who_has_the_password_comes_in(tmp_path: Path) -> None:
    with serving(tmp_path, users(alice="wonder:land", böb="ünder")) as served:
        for _ in range(2):
            assert status(served, basic("alice", "wonder:land")) == 200
            assert status(served, basic("böb", "ünder")) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("nobody", "wonderland"),
        basic("", ""),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"alice").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:x").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"alice:won\0derland").decode()},
        {"Authorization": "Bearer " + base64.b64encode(b"alice:wonderland").decode()},
    ],
)
def test_all_others_stay_out_of_every_page(tmp_path: Path, headers: dict[str, str]) -> None:
    with serving(tmp_path, users(alice="wonderland")) as served:
        for path in ("/", "/metrics", "/none", "/" + quote("%2e%2e")):
            code, said = served.ask(headers=headers, path=path)
            assert code == 401
            assert said["www-authenticate"].startswith("Basic ")
        assert served.entrance.refused["credentials"] == 4
        assert status(served, basic("alice", "wonderland")) == 200


def test_long_passwords_count_as_far_as_bcrypt_looks(tmp_path: Path) -> None:
    long = "x" * 72
    with serving(tmp_path, users(alice=long)) as served:
        assert status(served, basic("alice", long + "y")) == 200
        assert status(served, basic("alice", long[:-1])) == 401


def test_a_user_who_is_taken_out_stays_out_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, users(alice="a", bob="b")) as served:
        assert status(served, basic("alice", "a")) == status(served, basic("bob", "b")) == 200
        served.reread(users(bob="other"))
        assert status(served, basic("alice", "a")) == status(served, basic("bob", "b")) == 401
        assert status(served, basic("bob", "other")) == 200


def test_headers_are_on_every_answer(tmp_path: Path) -> None:
    text = users(alice="a") + "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    with serving(tmp_path, text) as served:
        for headers, path in (({}, "/"), (basic("alice", "a"), "/"), (basic("alice", "a"), "/none")):
            assert served.ask(headers=headers, path=path)[1]["x-frame-options"] == "deny"


def test_the_rate_limit(tmp_path: Path) -> None:
    with serving(tmp_path, "rate_limit: {interval: 1h, burst: 3}") as served:
        assert [status(served) for _ in range(5)] == [200, 200, 200, 429, 429]
        served.reread("rate_limit: {interval: 1h, burst: 1}")
        assert [status(served) for _ in range(2)] == [200, 429]
        assert served.entrance.refused["rate"] == 3


def test_a_bucket_fills_with_time() -> None:
    now = 0.0
    bucket, limit = Bucket(lambda: now), RateLimit(interval=2, burst=2)
    assert [bucket.take(limit) for _ in range(3)] == [True, True, False]
    now += 2
    assert [bucket.take(limit) for _ in range(2)] == [True, False]
    now += 1000
    assert [bucket.take(limit) for _ in range(3)] == [True, True, False]
    assert bucket.take(RateLimit())


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_neighbours_are_one_and_the_same(address: str, known_as: str) -> None:
    assert neighbour(address) == known_as


def test_nobodys_hash_costs_what_a_users_does() -> None:
    assert nobody(7).startswith("$2b$07$")
    assert not bcrypt.checkpw(b"", nobody(4).encode())
    assert len(nobody(12)) == len(hashed("x"))


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    """In time of the processor, whatever else the machine does; a hash of the least cost takes a 64th."""
    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()}

    async def play() -> list[float]:
        credentials, took = Credentials(), []
        for user in ("alice", "nobody", "alice", "nobody"):
            before = time.process_time()
            assert await credentials.check(users, user, b"wrong", "here") is Verdict.WRONG
            took.append(time.process_time() - before)
        credentials.close()
        return took

    took = asyncio.run(play())
    assert min(took) > max(took) / 8


def test_who_guesses_much_waits_behind_who_asks_once() -> None:
    """One address fills its places; a check of another address comes after one of them, not after all."""
    alice = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()}

    async def play() -> list[str]:
        credentials, order = Credentials(), []

        async def ask(address: str, password: bytes) -> Verdict:
            verdict = await credentials.check(alice, "alice", password, address)
            order.append(f"{address} {verdict.value}")
            return verdict

        guesses = [asyncio.create_task(ask("bad", b"guess %d" % number)) for number in range(40)]
        await asyncio.sleep(0)
        assert await ask("good", b"right") is Verdict.RIGHT
        await asyncio.gather(*guesses)
        credentials.close()
        return order

    order = asyncio.run(play())
    assert order.count("bad too many") == 40 - 16
    assert order.index("good right") <= order.index("bad wrong") + 3
    assert order.count("bad wrong") == 16


def test_high_cost_check_delays_no_other_user() -> None:
    """A check of Bob's password takes 500 times as long as one of Alice's, which is asked for later."""
    users = {"alice": hashed("right"), "bob": nobody(13)}

    async def play() -> list[str]:
        credentials, order = Credentials(), []

        async def ask(user: str, password: bytes) -> None:
            verdict = await credentials.check(users, user, password, "here")
            order.append(f"{user} {verdict.value}")

        slow = asyncio.create_task(ask("bob", b"guess"))
        await asyncio.sleep(0)
        await ask("alice", b"right")
        await ask("alice", b"wrong")
        await slow
        credentials.close()
        return order

    assert asyncio.run(play()) == ["alice right", "alice wrong", "bob wrong"]


@pytest.mark.parametrize(("costs", "expected"), [((4,), 4), ((4, 12), 12), ((12, 16), 16), ((10, 18), 16)])
def test_cost_of_unknown_user_is_bounded(costs: tuple[int, ...], expected: int) -> None:
    """A check of cost 18 takes half a minute of one core, here for a name that anybody can invent."""
    users = {f"user{cost}": nobody(cost) for cost in costs}
    assert cost_of(hash_of_nobody(users)) == expected


def test_a_slow_check_keeps_nobody_waiting_who_is_known(tmp_path: Path) -> None:
    slow = bcrypt.hashpw(b"b", bcrypt.gensalt(12)).decode()
    with serving(tmp_path, users(alice="a") + f"  bob: {slow}\n") as served:
        assert status(served, basic("alice", "a")) == 200
        codes: list[int] = []
        guessing = [
            threading.Thread(target=lambda: codes.append(status(served, basic("bob", "guess"))))
            for _ in range(4)
        ]
        for thread in guessing:
            thread.start()
        answers = 0
        while len(codes) < len(guessing):
            assert status(served, basic("alice", "a")) == 200
            answers += 1
        for thread in guessing:
            thread.join()
        assert answers > len(guessing)
        assert set(codes) == {401}
