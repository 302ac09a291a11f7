"""Event recorder: writes down all domain events of libvirt, independently of the exporter.

Run as a script with one URI. Writes one JSON line per event, for every event id of the libvirt module, and
one for each connection and each loss of it; it reconnects as often as the daemon returns. It uses no
keepalive: the exporter, not the recorder, distinguishes a frozen daemon from a dead one.
"""

import json
import os
import sys
import threading
import time
from typing import Any

import libvirt

RETRY = 0.05
PREFIX = "VIR_DOMAIN_EVENT_ID_"
IDS = {
    number: name.removeprefix(PREFIX).lower()
    for name, number in vars(libvirt).items()
    if name.startswith(PREFIX) and not name.endswith("_LAST")
}


def write(**entry: object) -> None:
    os.write(1, json.dumps({"time": time.monotonic(), **entry}, default=str).encode() + b"\n")


def on_event(_connection: Any, domain: Any, *rest: Any) -> None:
    *arguments, kind = rest
    write(kind=kind, domain=domain.name(), uuid=domain.UUIDString(), id=domain.ID(), arguments=arguments)


def listen(uri: str) -> None:
    """Record events until the connection is lost."""
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError:
        return
    lost = threading.Event()
    connection.registerCloseCallback(lambda *_: lost.set(), None)
    for number, kind in IDS.items():
        try:
            connection.domainEventRegisterAny(None, number, on_event, kind)
        except libvirt.libvirtError:
            continue  # this driver has no such event
    write(kind="connected")
    lost.wait()
    write(kind="lost")


def run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def exit_with_the_test() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    for target in (run_events, exit_with_the_test):
        threading.Thread(target=target, daemon=True).start()
    while True:
        listen(sys.argv[1])
        threading.Event().wait(RETRY)
