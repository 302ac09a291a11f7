"""Floor of memory and CPU: a process whose callback does nothing. python idle_callback.py URI"""

import sys
from typing import Any

import libvirt


def on_event(*_arguments: Any) -> None:
    """Do nothing."""


if __name__ == "__main__":
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.openReadOnly(sys.argv[1])
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
    while True:
        libvirt.virEventRunDefaultImpl()
