"""The exporter, in which signals stall libvirt's event loop (SIGUSR1) and let it go on (SIGUSR2)."""

import signal
import sys
import threading

import libvirt

from libvirt_lifecycle_exporter.cli.main import main

go_on = threading.Event()


def stall(timer: int, _: object) -> None:
    libvirt.virEventRemoveTimeout(timer)
    print("here it stands still", file=sys.stderr, flush=True)
    go_on.wait()


signal.signal(signal.SIGUSR1, lambda _number, _frame: libvirt.virEventAddTimeout(0, stall, None))
signal.signal(signal.SIGUSR2, lambda _number, _frame: go_on.set())
main()
