"""Check passwords against bcrypt hashes without letting one client delay another.

A check costs CPU time by design (2 ** cost rounds), so:

* One check runs at a time, on a thread. Each client network has at most one check in the thread's queue, so
  client networks take turns; a network with too many pending checks is refused.
* Hashes of a high cost have a queue and a thread of their own, so that other users do not wait for them.
* A password that was valid is remembered (as a keyed digest), so a scrape costs no second check.
* An unknown user costs the same time as a known one, up to a limit: response times do not reveal user names.
"""

import asyncio
import hashlib
import ipaddress
import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import lru_cache
from typing import Final

_MAX_REMEMBERED: Final = 1000
_MAX_PENDING_PER_NETWORK: Final = 16
_MAX_PASSWORD_BYTES: Final = 72
"""Bytes of a password that bcrypt uses. The library refuses longer ones; other implementations cut them."""
_HIGH_COST: Final = 13
"""From this cost on, a check takes half a second or more."""
_MAX_DUMMY_COST: Final = 16
"""Limit of an unknown user's check (some seconds of one core), because anybody can invent a user name."""
_IPV6_PREFIX_BITS: Final = 64
"""The part of an IPv6 address that a client cannot choose."""


class CheckResult(Enum):
    """The outcome of a password check."""

    VALID = "valid"
    INVALID = "invalid"
    THROTTLED = "throttled"
    """Not checked: the client network has too many pending checks."""


class _ValidCredentials:
    """Digests of the user-password pairs that were valid most recently. May be used from any thread."""

    def __init__(self) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        self._digests[digest] = None
        if len(self._digests) > _MAX_REMEMBERED:
            self._digests.popitem(last=False)


class _Network:
    """The pending checks of one client network."""

    def __init__(self) -> None:
        self.pending = 0
        self.lock = asyncio.Lock()
        """Held while one of the checks is in the thread's queue; served in order of arrival."""


class _CheckQueue:
    """Run checks one at a time on one thread; client networks take turns."""

    def __init__(self, valid: _ValidCredentials, thread_name: str) -> None:
        self._valid = valid
        self._networks: dict[str, _Network] = {}
        self._executor = ThreadPoolExecutor(1, thread_name)

    async def run(self, address: str, digest: bytes, hashed: str, password: bytes) -> bool | None:
        """Return whether the password matches; None: the network has too many pending checks."""
        name = client_network(address)
        network = self._networks.setdefault(name, _Network())
        if network.pending >= _MAX_PENDING_PER_NETWORK:
            return None
        network.pending += 1
        try:
            async with network.lock:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._executor, self._check, digest, hashed, password)
        finally:
            network.pending -= 1
            if not network.pending:
                del self._networks[name]

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _check(self, digest: bytes, hashed: str, password: bytes) -> bool:
        # On the thread: an equal check of another client may have succeeded while this one waited.
        if digest in self._valid:
            return True
        is_valid = _matches(password, hashed)
        if is_valid:
            self._valid.add(digest)
        return is_valid


class Credentials:
    """Check users' passwords. ``check`` is used on one event loop at a time."""

    def __init__(self) -> None:
        self._digest_key = os.urandom(32)
        self._valid = _ValidCredentials()
        self._queue = _CheckQueue(self._valid, "bcrypt")
        self._high_cost_queue = _CheckQueue(self._valid, "bcrypt-slow")

    async def check(self, users: Mapping[str, str], user: str, password: bytes, address: str) -> CheckResult:
        """Check the user's password.

        ``users``: user name to bcrypt hash, at least one. ``address``: the client's IP address; empty:
        unknown.
        """
        hashed = users.get(user)
        digest = self._digest(user, hashed or "", password)
        if hashed is not None and digest in self._valid:
            return CheckResult.VALID
        to_check = hashed or dummy_hash_for(users)
        queue = self._high_cost_queue if bcrypt_cost(to_check) >= _HIGH_COST else self._queue
        matches = await queue.run(address, digest, to_check, password[:_MAX_PASSWORD_BYTES])
        if matches is None:
            return CheckResult.THROTTLED
        return CheckResult.VALID if matches and hashed is not None else CheckResult.INVALID

    def close(self) -> None:
        """Cancel pending checks and stop the threads; does not wait for a running check."""
        self._queue.close()
        self._high_cost_queue.close()

    def _digest(self, user: str, hashed: str, password: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._digest_key)
        for part in (user.encode(), hashed.encode(), password):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        return digest.digest()


def client_network(address: str) -> str:
    """Return what identifies a client: an IPv4 address, an IPv6 address' /64 network, or the text itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX_BITS), strict=False))


def bcrypt_cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash: a check takes 2 ** cost rounds."""
    return int(hashed.split("$")[2])


def dummy_hash_for(users: Mapping[str, str]) -> str:
    """Return the hash for unknown users: as costly as the costliest user's, up to a limit."""
    return dummy_hash(min(max(map(bcrypt_cost, users.values())), _MAX_DUMMY_COST))


@lru_cache
def dummy_hash(cost: int) -> str:
    """Return a bcrypt hash of this cost that no password matches."""
    import bcrypt  # noqa: PLC0415 - only with users

    cheap = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(4)).decode()
    return f"$2b${cost:02}${cheap[7:]}"


def _matches(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - only with users

    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:
        # Such as a password with a NUL byte: the library refuses it, so no hash can match it.
        return False
