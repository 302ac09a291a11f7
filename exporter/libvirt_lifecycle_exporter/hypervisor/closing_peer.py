"""Find out, without libvirt, whether a server closes connections as soon as it has accepted them.

libvirt 9.0 never frees a client whose first message cannot be written (EPIPE). Each such attempt leaks an
eventfd: 67 of 200 attempts on a server that accepts and closes. So after an attempt that failed because the
peer closed it, libvirt is called again only when the peer keeps a connection open.
"""

import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_CONNECT_LIMIT = 1.0
_CLOSE_LIMIT = 0.2
"""Seconds in which a peer that closes at once has done so."""
_PORTS = {"tls": 16514, "tcp": 16509}


def closes_at_once(uri: str) -> bool:
    """Return whether the server of a URI closes a new connection; False if that cannot be found out."""
    with suppress(OSError, ValueError):
        connected = _connect(uri)
        if connected is not None:
            with connected:
                connected.settimeout(_CLOSE_LIMIT)
                try:
                    return connected.recv(1) == b""
                except ConnectionError:
                    return True
    return False


def _connect(uri: str) -> socket.socket | None:
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    if parts.hostname:
        port = parts.port or _PORTS.get(transport or "tls")
        return socket.create_connection((parts.hostname, port), _CONNECT_LIMIT) if port else None
    path = _socket_path(driver, parts.path, parse_qs(parts.query))
    if transport not in ("", "unix") or not path:
        return None
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(_CONNECT_LIMIT)
        connected.connect(path)
    except BaseException:
        connected.close()
        raise
    return connected


def _socket_path(driver: str, path: str, query: dict[str, list[str]]) -> str:
    """Return the socket that libvirt would use; "" where that is not known."""
    if "socket" in query:
        return query["socket"][-1]
    usual = (f"/run/libvirt/virt{driver}d-sock-ro", "/run/libvirt/libvirt-sock-ro")
    return next((one for one in usual if Path(one).exists()), "") if path == "/system" else ""
