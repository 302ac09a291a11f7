"""Socket operations that libvirt's client does not offer: probe a server, and set TCP keepalive.

``closes_at_once``: libvirt 9.0 never frees a client whose first message cannot be written (EPIPE). Each such
attempt leaks an eventfd: 67 of 200 attempts on a server that accepts and closes. So after an attempt that
failed because the peer closed the connection, libvirt is called again only if the peer keeps a connection
open.

``enable_tcp_keepalive``: libvirt's own keepalive starts only after a connection is open. Without TCP
keepalive, an attempt to connect to a host that lost its power never returns.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_CONNECT_TIMEOUT = 1.0
_CLOSE_TIMEOUT = 0.2
"""Seconds in which a server that closes new connections has done so."""
_PORTS = {"tls": 16514, "tcp": 16509, "": 16514}
"""Ports by transport, if the URI has none; a URI with a host and no transport uses TLS."""


def closes_at_once(uri: str) -> bool:
    """Return whether the server of a URI closes a new connection; False if that cannot be determined."""
    with suppress(OSError, ValueError):
        connected = _connect(uri)
        if connected is not None:
            with connected:
                connected.settimeout(_CLOSE_TIMEOUT)
                try:
                    return connected.recv(1) == b""
                except ConnectionError:
                    return True
    return False


def enable_tcp_keepalive(uri: str) -> None:
    """Enable TCP keepalive on all connections of this process to the port of a URI."""
    parts = urlsplit(uri)
    port = parts.port or _PORTS.get(_transport(uri))
    if not parts.hostname or port is None:
        return
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError, ValueError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with _duplicate_socket(int(entry.name)) as connected:
                is_tcp = connected.family in (socket.AF_INET, socket.AF_INET6)
                if is_tcp and connected.getpeername()[1] == port:
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
                    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _transport(uri: str) -> str:
    return urlsplit(uri).scheme.partition("+")[2]


def _connect(uri: str) -> socket.socket | None:
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    if parts.hostname:
        port = parts.port or _PORTS.get(transport)
        return socket.create_connection((parts.hostname, port), _CONNECT_TIMEOUT) if port else None
    path = _socket_path(driver, parts.path, parse_qs(parts.query))
    if transport not in ("", "unix") or not path:
        return None
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(_CONNECT_TIMEOUT)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _socket_path(driver: str, path: str, query: dict[str, list[str]]) -> str:
    """Return the path of the Unix socket that libvirt would use; "" if it is not known."""
    if "socket" in query:
        return query["socket"][-1]
    usual = (f"/run/libvirt/virt{driver}d-sock-ro", "/run/libvirt/libvirt-sock-ro")
    return next((one for one in usual if Path(one).exists()), "") if path == "/system" else ""


def _duplicate_socket(descriptor: int) -> socket.socket:
    """Return a socket object for a duplicate of a descriptor of this process.

    Raises OSError if the descriptor is closed or no socket; the duplicate is closed then.
    """
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
