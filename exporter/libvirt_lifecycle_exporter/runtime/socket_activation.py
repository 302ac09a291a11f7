"""Listening sockets that systemd passes to the service (socket activation).

https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Final

_SD_LISTEN_FDS_START: Final = 3


def activated_sockets(environment: MutableMapping[str, str], *, pid: int) -> list[socket.socket]:
    """Return the listening sockets that were passed to process ``pid``, and remove the variables.

    The variables are removed so that child processes do not use them.
    Raises OSError with one sentence if there is no socket, or if one of them is not a listening stream
    socket.
    """
    listen_pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if listen_pid != str(pid) or not count.isdecimal() or int(count) == 0:
        raise OSError(
            "--web.systemd-socket: systemd passed no socket; start the service by its .socket unit, "
            "or remove the flag"
        )
    first = _SD_LISTEN_FDS_START
    return [_open_listening_socket(descriptor) for descriptor in range(first, first + int(count))]


def _open_listening_socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the name says what
    try:
        listening = socket.socket(fileno=descriptor)
        is_listening = listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        raise OSError(f"--web.systemd-socket: descriptor {descriptor} is not a socket") from None
    if listening.type != socket.SOCK_STREAM or not is_listening:
        listening.close()
        raise OSError(
            f"--web.systemd-socket: descriptor {descriptor} is not a listening stream socket; "
            "its unit needs ListenStream= and Accept=no"
        )
    return listening
