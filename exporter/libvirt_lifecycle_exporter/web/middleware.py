"""Around every page: the rate limit, the headers, the users.

Law: the rules are asked at each request, so that changes count at once.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libvirt_lifecycle_exporter.web.access import AccessControl
from libvirt_lifecycle_exporter.web.config import RateLimit
from libvirt_lifecycle_exporter.web.credentials import Credentials, Verdict

_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="libvirt-lifecycle-exporter", charset="UTF-8"'}


class Bucket:
    """A token bucket; a change of the limit fills it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limit = RateLimit()
        self._tokens = 0.0
        self._at = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Take a token; False: there is none."""
        if not limit.interval:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens, self._at = limit, float(limit.burst), now
        self._tokens = min(float(limit.burst), self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AccessMiddleware:
    """Lets requests through to the application, or answers them itself."""

    def __init__(self, application: ASGIApp, entrance: AccessControl) -> None:
        self._application = application
        self._entrance = entrance
        self._credentials = Credentials()
        self._bucket = Bucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI."""
        config = self._entrance.rules.config
        added = [(name.encode(), value.encode()) for name, value in config.headers]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        answer = await self._refusal(scope) or self._application
        await answer(_origin_form(scope), receive, send_with_headers)

    def close(self) -> None:
        """Check no more."""
        self._credentials.close()

    async def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        """Say why this request is not answered; None: it is."""
        config = self._entrance.rules.config
        if not self._bucket.take(config.rate_limit):
            return self._refuse("rate", 429)
        if not config.users:
            return None
        given = _given(Headers(scope=scope).get("authorization", ""))
        if given is None:
            return self._refuse("credentials", 401, _CHALLENGE)
        address = scope["client"][0] if scope.get("client") else ""
        verdict = await self._credentials.check(config.users, *given, address)
        if verdict is Verdict.RIGHT:
            return None
        if verdict is Verdict.TOO_MANY:
            return self._refuse("rate", 429, {"Retry-After": "5"})
        return self._refuse("credentials", 401, _CHALLENGE)

    def _refuse(self, cause: str, status: int, headers: dict[str, str] | None = None) -> PlainTextResponse:
        self._entrance.refused[cause] += 1
        said = {401: "Unauthorized", 429: "Too Many Requests"}[status]
        return PlainTextResponse(f"{said}\n", status_code=status, headers=headers)


def _origin_form(scope: Scope) -> Scope:
    """Reduce an absolute target to its path: ``GET http://host/metrics``, as clients send it to a proxy.

    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
    """
    raw = scope.get("raw_path", b"").decode("latin-1")
    found = _ABSOLUTE.match(raw)
    if found is None:
        return scope
    path = raw[found.end() :] or "/"
    return {**scope, "path": unquote(path), "raw_path": path.encode("latin-1")}


def _given(authorization: str) -> tuple[str, bytes] | None:
    """Read user and password, https://www.rfc-editor.org/rfc/rfc7617"""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
