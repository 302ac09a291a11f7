"""Why TLS failed, told to the client as the protocol has it: asyncio closes before OpenSSL's alert is sent.

Without it, whoever has no certificate is told of an end of file, and searches for long.
"""

import socket
import ssl
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

CLIENT: ContextVar[socket.socket | None] = ContextVar("CLIENT", default=None)
"""Whose handshake this is; set by whoever begins it."""


class _Talk(ssl.SSLObject):
    outgoing: ssl.MemoryBIO
    client: socket.socket | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.client is not None:
                # It does not block, and who does not take it does not get it.
                with suppress(OSError):
                    self.client.send(self.outgoing.read())
            raise


class TalkingContext(ssl.SSLContext):
    """A context for servers on asyncio."""

    sslobject_class = _Talk

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **more: Any) -> _Talk:  # noqa: ANN401 - ssl's own
        """As the base class, which asyncio calls."""
        talk = super().wrap_bio(incoming, outgoing, *args, **more)
        assert isinstance(talk, _Talk)  # noqa: S101 - that is what sslobject_class is for
        talk.outgoing, talk.client = outgoing, CLIENT.get()
        return talk
