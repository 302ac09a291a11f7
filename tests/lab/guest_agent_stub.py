"""Stub of the QEMU guest agent: implements the agent's protocol on the host's end of the channel.

libvirt connects to the socket as it does to that of an emulator. The emulator connects, too, but its data is
ignored. The device of the channel is a virtconsole (``CONSOLE_OVERRIDE``), whose guest end counts as open
from the start: the guest is one boot sector and has no driver to open it.
https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
"""

import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

CHANNEL = "channel0"
CONSOLE_OVERRIDE = {(CHANNEL, "driver"): "virtconsole"}


class GuestAgentStub:
    """Listens on `path` and answers commands while `is_answering` is set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_answering = threading.Event()
        self.is_answering.set()
        self.pings = threading.Semaphore(0)
        """Released for every ping, answered or not."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._clients: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self.path.chmod(0o777)
        self._socket.listen()
        threading.Thread(target=self._accept, name="agent", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in self._clients:
            client.close()
        self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), name="agent-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client.makefile("rb") as lines:
                for line in lines:
                    self._answer(client, json.loads(line.lstrip(b"\xff")))
        except OSError:
            # The test is over.
            return

    def _answer(self, client: socket.socket, request: dict[str, object]) -> None:
        command = str(request["execute"])
        if command == "guest-ping":
            self.pings.release()
        if not self.is_answering.is_set():
            return
        arguments = request.get("arguments")
        answer = arguments["id"] if isinstance(arguments, dict) else {}
        client.sendall(json.dumps({"return": answer}).encode() + b"\n")
