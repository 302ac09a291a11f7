"""Sockets that systemd opened for this service (socket activation).

https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import os
import socket
from collections.abc import MutableMapping
from typing import Final

_FIRST: Final = 3
"""SD_LISTEN_FDS_START."""


def activated_sockets(environment: MutableMapping[str, str], *, pid: int) -> list[socket.socket]:
    """Return the listening sockets that were passed to process ``pid``; take the variables out.

    Raises OSError with one sentence where there is none, or where one cannot be served on.
    """
    for_whom = environment.pop("LISTEN_PID", "")
    number = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if for_whom != str(pid) or not number.isdecimal() or int(number) == 0:
        raise OSError(
            "--web.systemd-socket: systemd passed no socket; start the service by its .socket unit, "
            "or leave the flag out"
        )
    return [_listening(descriptor) for descriptor in range(_FIRST, _FIRST + int(number))]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the name says what
    try:
        found = socket.socket(fileno=descriptor)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        raise OSError(f"--web.systemd-socket: descriptor {descriptor} is no socket") from None
    if found.type != socket.SOCK_STREAM or not is_listening:
        found.close()
        raise OSError(
            f"--web.systemd-socket: descriptor {descriptor} is no listening stream socket; "
            "its unit needs ListenStream= and Accept=no"
        )
    return found
