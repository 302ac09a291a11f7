"""Wait for the first TLS record of a client before anything is allocated for TLS.

The kernel keeps the received bytes: SO_RCVLOWAT makes the socket readable only when the whole record has
arrived (or the client has closed), so an idle client, or half a ClientHello, costs one socket and one
callback.
"""

import asyncio
import socket
from typing import Final

_HEADER_SIZE: Final = 5
"""Bytes of a record's header: content type, version (2), length (2). RFC 8446, section 5.1."""
_HANDSHAKE_PREFIX: Final = b"\x16\x03"
"""Content type "handshake" and the first byte of every version that TLS uses there."""
_MAX_RECORD_SIZE: Final = 1 << 14
"""Maximum number of bytes of a plaintext record's content. RFC 8446, section 5.1."""


async def wait_for_first_record(connection: socket.socket) -> None:
    """Return when the first record is complete or can never be. Nothing is read from the socket.

    ``connection``: non-blocking. Raises OSError if the client has closed the connection.
    """
    await _wait_for_bytes(connection, _HEADER_SIZE)
    header = connection.recv(_HEADER_SIZE, socket.MSG_PEEK)
    if not header:
        raise ConnectionAbortedError("the client closed the connection before its ClientHello")
    if header.startswith(_HANDSHAKE_PREFIX):
        size = min(int.from_bytes(header[3:]), _MAX_RECORD_SIZE)
        await _wait_for_bytes(connection, _HEADER_SIZE + size)
    # Anything else, such as plain HTTP, is refused by OpenSSL at once.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _wait_for_bytes(connection: socket.socket, size: int) -> None:
    """Wait until ``size`` bytes can be read, or the client has closed the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def on_readable() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection, on_readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
