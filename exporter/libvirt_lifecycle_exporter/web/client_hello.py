"""Wait for the first TLS record of a client before anything is allocated for TLS.

The kernel keeps what has arrived: SO_RCVLOWAT makes the socket readable only once the whole record is there
(or the client has closed), so an idle client, or half a ClientHello, costs one socket and one callback.
"""

import asyncio
import socket
from typing import Final

_HEADER: Final = 5
"""Bytes of a record's header: content type, version (2), length (2). RFC 8446, section 5.1."""
_HANDSHAKE: Final = b"\x16\x03"
_LARGEST: Final = 1 << 14
"""Bytes of a plaintext record's content, at most. RFC 8446, section 5.1."""


async def wait_for_first_record(connection: socket.socket) -> None:
    """Return once the first record is complete, or can never be; nothing is read.

    ``connection``: non-blocking. Raises OSError where the client has gone.
    """
    await _wait_for(connection, _HEADER)
    header = connection.recv(_HEADER, socket.MSG_PEEK)
    if not header:
        raise ConnectionAbortedError("the client closed the connection before its ClientHello")
    if header.startswith(_HANDSHAKE):
        await _wait_for(connection, _HEADER + min(int.from_bytes(header[3:]), _LARGEST))
    # Else no TLS, such as plain HTTP: OpenSSL refuses it at once.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _wait_for(connection: socket.socket, size: int) -> None:
    """Wait until so many bytes can be read, or the client has closed."""
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
