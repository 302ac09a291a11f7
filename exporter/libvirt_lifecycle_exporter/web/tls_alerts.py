"""Send the TLS alert of a failed handshake: asyncio closes the connection before it sends what OpenSSL wrote.

With the alert, a client without a valid certificate reports the cause ("certificate required") instead of an
unexpected end of file. https://www.rfc-editor.org/rfc/rfc8446#section-6.2
"""

import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

HANDSHAKE_SOCKET: ContextVar[socket.socket | None] = ContextVar("HANDSHAKE_SOCKET", default=None)
"""The client's socket of the handshake that is about to start; set by the task that starts it."""


class _AlertSendingObject(ssl.SSLObject):
    outgoing: ssl.MemoryBIO
    client: socket.socket | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.client is not None:
                # Non-blocking and best effort: the alert is lost if the socket's buffer is full.
                with suppress(OSError):
                    self.client.send(self.outgoing.read())
            raise


class AlertSendingContext(ssl.SSLContext):
    """A server's context for use with asyncio."""

    sslobject_class = _AlertSendingObject

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *args: Any,  # noqa: ANN401 - ssl's own
        **kwargs: Any,  # noqa: ANN401 - ssl's own
    ) -> _AlertSendingObject:
        wrapped = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(wrapped, _AlertSendingObject)  # noqa: S101 - guaranteed by sslobject_class
        wrapped.outgoing, wrapped.client = outgoing, HANDSHAKE_SOCKET.get()
        return wrapped
