"""ASGI middleware: rate limit, configured response headers, basic authentication.

Invariant: each request uses the configuration that is active when it arrives, so changes apply at once, also
to open connections.
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
from libvirt_lifecycle_exporter.web.credentials import CheckResult, Credentials

_ABSOLUTE_FORM = re.compile(r"https?://[^/]*", re.IGNORECASE)
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="libvirt-lifecycle-exporter", charset="UTF-8"'}


class TokenBucket:
    """A token bucket; a change of the limit fills it. Used on one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: monotonic, seconds."""
        self._clock = clock
        self._limit = RateLimit()
        self._tokens = 0.0
        self._updated_at = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Take a token if there is one; return whether the request is allowed."""
        if not limit.interval:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens, self._updated_at = limit, float(limit.burst), now
        self._tokens = min(float(limit.burst), self._tokens + (now - self._updated_at) / limit.interval)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class AccessMiddleware:
    """Pass allowed requests to the application; answer the others with 401 or 429."""

    def __init__(self, application: ASGIApp, access: AccessControl) -> None:
        self._application = application
        self._access = access
        self._credentials = Credentials()
        self._bucket = TokenBucket()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI). https://asgi.readthedocs.io/en/latest/specs/www.html"""
        config = self._access.active.config
        configured_headers = [(name.encode(), value.encode()) for name, value in config.headers]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *configured_headers]
            await send(message)

        handler = await self._check_request(scope) or self._application
        await handler(_to_origin_form(scope), receive, send_with_headers)

    def close(self) -> None:
        """Stop the threads that check passwords."""
        self._credentials.close()

    async def _check_request(self, scope: Scope) -> PlainTextResponse | None:
        """Return the response that refuses this request; None: it is allowed."""
        config = self._access.active.config
        if not self._bucket.take(config.rate_limit):
            return self._refuse("rate", 429)
        if not config.users:
            return None
        credentials = _parse_basic_auth(Headers(scope=scope).get("authorization", ""))
        if credentials is None:
            return self._refuse("credentials", 401, _CHALLENGE)
        address = scope["client"][0] if scope.get("client") else ""
        result = await self._credentials.check(config.users, *credentials, address)
        if result is CheckResult.VALID:
            return None
        if result is CheckResult.THROTTLED:
            return self._refuse("rate", 429, {"Retry-After": "5"})
        return self._refuse("credentials", 401, _CHALLENGE)

    def _refuse(self, cause: str, status: int, headers: dict[str, str] | None = None) -> PlainTextResponse:
        self._access.refused[cause] += 1
        reason = {401: "Unauthorized", 429: "Too Many Requests"}[status]
        return PlainTextResponse(f"{reason}\n", status_code=status, headers=headers)


def _to_origin_form(scope: Scope) -> Scope:
    """Replace an absolute request target (``GET http://host/metrics``) by its path.

    Clients send it to a proxy, and a server must accept it:
    https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
    """
    raw_path = scope.get("raw_path", b"").decode("latin-1")
    match = _ABSOLUTE_FORM.match(raw_path)
    if match is None:
        return scope
    path = raw_path[match.end() :] or "/"
    return {**scope, "path": unquote(path), "raw_path": path.encode("latin-1")}


def _parse_basic_auth(authorization: str) -> tuple[str, bytes] | None:
    """Return user and password of an Authorization header; None: it has none that are valid.

    https://www.rfc-editor.org/rfc/rfc7617
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
