"""TLS on an accepted socket with a small receive buffer.

asyncio's own SSLProtocol allocates a buffer of 256 KiB for each connection, before the handshake.
"""

import asyncio
import socket
import ssl
from asyncio import sslproto


class TLSProtocol(sslproto.SSLProtocol):
    """asyncio's TLS protocol of one connection, with a smaller buffer."""

    max_size = 16 * 1024
    """Bytes that are received and decrypted at once; a scrape's request is much smaller."""


async def accept_tls(
    connection: socket.socket,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    handshake_timeout: float,
    shutdown_timeout: float,
) -> None:
    """Do the handshake; return when ``protocol`` is connected. Raises OSError, of which ssl.SSLError is one.

    This is ``loop.connect_accepted_socket(..., ssl=context)`` with a smaller buffer. Timeouts: seconds.
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
    # The error's traceback, the frames in it and the future refer to each other: without these lines, only
    # the garbage collector would free the connection.
    del handshake
    if error is not None:
        try:
            raise error.with_traceback(None)
        finally:
            del error
