"""The exporter with signals that stall libvirt's event loop (SIGUSR1) and resume it (SIGUSR2)."""

import signal
import sys
import threading

import libvirt

from libvirt_lifecycle_exporter.cli.main import main

resume = threading.Event()


def stall(timer: int, _: object) -> None:
    libvirt.virEventRemoveTimeout(timer)
    print("event loop stalled", file=sys.stderr, flush=True)
    resume.wait()


signal.signal(signal.SIGUSR1, lambda _number, _frame: libvirt.virEventAddTimeout(0, stall, None))
signal.signal(signal.SIGUSR2, lambda _number, _frame: resume.set())
main()
