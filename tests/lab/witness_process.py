"""The witness: writes down everything that libvirt says about domains, and knows nothing of the exporter.

Run as a script with one URI. One JSON line an event, for every event id that the libvirt module knows;
also when it gets its connection and when it loses it, for it comes back as often as the daemon does.
It does without keepalive: a frozen daemon must be told from a dead one by the exporter, not by the witness.
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


def say(**entry: object) -> None:
    os.write(1, json.dumps({"time": time.monotonic(), **entry}, default=str).encode() + b"\n")


def heard(_connection: Any, domain: Any, *rest: Any) -> None:
    *arguments, kind = rest
    say(kind=kind, domain=domain.name(), uuid=domain.UUIDString(), id=domain.ID(), arguments=arguments)


def listen(uri: str) -> None:
    """Until the connection is lost."""
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError:
        return
    lost = threading.Event()
    connection.registerCloseCallback(lambda *_: lost.set(), None)
    for number, kind in IDS.items():
        try:
            connection.domainEventRegisterAny(None, number, heard, kind)
        except libvirt.libvirtError:
            continue  # this driver has no such event
    say(kind="connected")
    lost.wait()
    say(kind="lost")


def run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def leave_with_the_test() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    for target in (run_events, leave_with_the_test):
        threading.Thread(target=target, daemon=True).start()
    while True:
        listen(sys.argv[1])
        threading.Event().wait(RETRY)
