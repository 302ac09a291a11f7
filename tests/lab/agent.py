"""A guest agent of the test's own: it speaks the agent's protocol on the host's end of the channel.

libvirt connects to the socket as it would to an emulator's; the emulator connects to it, too, and is heard by
nobody. The channel's device is a virtconsole (``OVERRIDE``), whose guest's end counts as open from the
start: our guest of one boot sector has no driver to open it with.
https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
"""

import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

CHANNEL = "channel0"
OVERRIDE = {(CHANNEL, "driver"): "virtconsole"}


class Agent:
    """Answers on `path` until it is told to be silent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.speaks = threading.Event()
        self.speaks.set()
        self.pinged = threading.Semaphore(0)
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

    def _answer(self, client: socket.socket, said: dict[str, object]) -> None:
        asked = str(said["execute"])
        if asked == "guest-ping":
            self.pinged.release()
        if not self.speaks.is_set():
            return
        arguments = said.get("arguments")
        answer = arguments["id"] if isinstance(arguments, dict) else {}
        client.sendall(json.dumps({"return": answer}).encode() + b"\n")
