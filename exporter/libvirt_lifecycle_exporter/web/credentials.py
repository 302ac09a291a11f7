"""Whether a user's password is right: bcrypt, which is slow on purpose, kept away from everything else.

Law: one check at a time, on a thread of its own; who asks much waits behind who asks little: addresses
take turns, and one that has too many checks waiting is turned away. Hashes of a high cost have a queue and a
thread to themselves, so that other users do not wait for them. What was right once is known at once
(by a digest under a key that nobody else has). An unknown user takes as long as a known one, up to a limit.
"""

import asyncio
import hashlib
import ipaddress
import os
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

import bcrypt

_MOST_KNOWN = 1000
_MOST_WAITING: Final = 16
"""Of one address."""
_LONGEST = 72
"""Bytes of a password that bcrypt looks at; the library refuses more, others cut it."""
_HIGH_COST: Final = 13
"""From this cost on, a check takes half a second and more."""
_MOST_COST_OF_NOBODY: Final = 16
"""An unknown user's check takes no longer than this: some seconds of one core, which anybody can ask for."""
_SAME_NEIGHBOUR = 64
"""Bits of an IPv6 address that one and the same customer cannot change at will."""


class Verdict(Enum):
    """What became of a check."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_MANY = "too many"


class _Job(NamedTuple):
    key: bytes
    hashed: str
    password: bytes
    answer: asyncio.Future[bool]


class _Known:
    """Digests of the pairs of user and password that were right lately."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        self._digests[digest] = None
        if len(self._digests) > _MOST_KNOWN:
            self._digests.popitem(last=False)


class _Queue:
    """Checks, one at a time on one thread; addresses take turns."""

    def __init__(self, known: _Known, thread_name: str) -> None:
        self._known = known
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name)
        self._runner: asyncio.Task[None] | None = None

    def put(self, address: str, job: _Job) -> bool:
        """Add a job; False: the address has too many of them."""
        queue = self._waiting.setdefault(neighbour(address), deque())
        if len(queue) >= _MOST_WAITING:
            return False
        queue.append(job)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return True

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            address, queue = self._waiting.popitem(last=False)
            if not queue:
                continue
            job = queue.popleft()
            self._waiting[address] = queue
            is_right = job.key in self._known or await loop.run_in_executor(
                self._thread, _matches, job.password, job.hashed
            )
            if is_right:
                self._known.add(job.key)
            if not job.answer.done():
                job.answer.set_result(is_right)


class Credentials:
    """Belongs to one asyncio loop."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._known = _Known()
        self._quick = _Queue(self._known, "bcrypt")
        self._slow = _Queue(self._known, "bcrypt-slow")

    async def check(self, users: Mapping[str, str], user: str, password: bytes, address: str) -> Verdict:
        """Tell whether this is the user's password; ``users``: their hashes."""
        hashed = users.get(user)
        key = self._key(user, hashed or "", password)
        if hashed is not None and key in self._known:
            return Verdict.RIGHT
        to_check = hashed or hash_of_nobody(users)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        queue = self._slow if cost_of(to_check) >= _HIGH_COST else self._quick
        if not queue.put(address, _Job(key, to_check, password[:_LONGEST], answer)):
            return Verdict.TOO_MANY
        return Verdict.RIGHT if await answer and hashed is not None else Verdict.WRONG

    def close(self) -> None:
        """Check no more."""
        self._quick.close()
        self._slow.close()

    def _key(self, user: str, hashed: str, password: bytes) -> bytes:
        parts = (user.encode(), hashed.encode(), password)
        made = hashlib.blake2b(key=self._secret)
        for part in parts:
            made.update(len(part).to_bytes(8))
            made.update(part)
        return made.digest()


def neighbour(address: str) -> str:
    """Reduce an address to whoever can be told from others by it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _SAME_NEIGHBOUR), strict=False))


def cost_of(hashed: str) -> int:
    """Return the cost of a bcrypt hash: a check takes 2 ** cost rounds."""
    return int(hashed.split("$")[2])


def hash_of_nobody(users: Mapping[str, str]) -> str:
    """Return what an unknown user's password is checked against: as costly as a user's, up to a limit."""
    return nobody(min(max(map(cost_of, users.values())), _MOST_COST_OF_NOBODY))


@lru_cache
def nobody(cost: int) -> str:
    """Make a hash of this cost that belongs to no password."""
    cheap = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(4)).decode()
    return f"$2b${cost:02}${cheap[7:]}"


def _matches(password: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:
        # Whatever the library does not take is nobody's password.
        return False
