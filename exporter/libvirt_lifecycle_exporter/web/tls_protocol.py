"""TLS on an accepted socket, by asyncio's own protocol with a small buffer.

asyncio allocates the buffer that it receives into for each connection, before the handshake: 256 KiB.
"""

import asyncio
import socket
import ssl
from asyncio import sslproto


class TLSProtocol(sslproto.SSLProtocol):
    """TLS of one connection."""

    max_size = 16 * 1024
    """Bytes received at once, and decrypted at once; a scrape's request fits into it many times."""


async def accept_tls(
    connection: socket.socket,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    handshake_timeout: float,
    shutdown_timeout: float,
) -> None:
    """Do the handshake; return when ``protocol`` has been connected. Raises OSError (ssl's among them).

    It is ``loop.connect_accepted_socket(..., ssl=context)`` with another buffer. Timeouts: seconds.
    """
    loop = asyncio.get_running_loop()
    handshake: asyncio.Future[None] = loop.create_future()
    tls = TLSProtocol(
        loop,
        protocol,
        context,
        handshake,
        server_side=True,
        ssl_handshake_timeout=handshake_timeout,  # type: ignore[arg-type] # typeshed: int, before Python 3.13
        ssl_shutdown_timeout=shutdown_timeout,
    )
    transport, _ = await loop.connect_accepted_socket(lambda: tls, connection)
    try:
        await asyncio.wait([handshake])
    except asyncio.CancelledError:
        handshake.cancel()
        transport.abort()
        raise
    error = handshake.exception()
    # The error's traceback, the frames in it (asyncio's among them) and the future refer to each other:
    # without these lines all of the connection would stay until garbage is collected.
    del handshake
    if error is not None:
        try:
            raise error.with_traceback(None)
        finally:
            del error
